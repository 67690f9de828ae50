"""The site's own settings: one typed view of ``settings.FUNNEL``, read live."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed


@dataclass(frozen=True, kw_only=True)
class Conf:
    """What a shop may set in ``FUNNEL``.

    Attributes:
        GATEWAY: dotted path of the `PaymentGateway` that takes the money.
        LEASE_SECONDS: how long one charge may take from its claim to its answer; longer than the
            gateway's whole timeout.
        IDEMPOTENCY_HOURS: how long an Idempotency-Key is remembered.
        CHECK_SECONDS: how long after an unknown outcome the gateway is asked first; each
            inconclusive answer doubles it, up to `CHECK_LONGEST_SECONDS`.
        CHECK_LONGEST_SECONDS: the longest pause between two questions.
        CHECKS_BEFORE_REVIEW: inconclusive answers after which a person has to look.
        REVIEW_SECONDS: how long a charge must have been in review before a person may decide that
            it was not executed.
        DECLINE_WINDOW_SECONDS: the time in which declines are counted against card testing.
        DECLINES_PER_SESSION: declines in it after which a session is refused further charges.
        DECLINES_PER_ADDRESS: the same for a network address (of IPv6 the first 64 bits); 0: never.
        DECLINES_PER_CARD: the same for a card; 0: never.
        TRUSTED_PROXIES: how many reverse proxies of yours add to ``X-Forwarded-For``; 0: the
            header is not read.
        HOOKS: name → a target that is told of orders: ``{"CALLABLE": dotted path}`` or
            ``{"URL": …, "SECRET": …}``. Several secrets, separated by commas or in a list, all
            sign.
        HOOK_TIMEOUT_SECONDS: how long one delivery may take.
        HOOK_TRIES: failed tries after which a delivery waits for a replay.
        NMI: what the ``nmi`` gateway needs: `funnel.payments.nmi.conf.NmiConf`.

    """

    GATEWAY: str = "funnel.payments.sandbox.SandboxGateway"
    LEASE_SECONDS: float = 60
    IDEMPOTENCY_HOURS: int = 24
    CHECK_SECONDS: float = 15
    CHECK_LONGEST_SECONDS: float = 600
    CHECKS_BEFORE_REVIEW: int = 8
    REVIEW_SECONDS: float = 3600
    DECLINE_WINDOW_SECONDS: float = 3600
    DECLINES_PER_SESSION: int = 10
    DECLINES_PER_ADDRESS: int = 30
    DECLINES_PER_CARD: int = 10
    TRUSTED_PROXIES: int = 0
    HOOKS: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    HOOK_TIMEOUT_SECONDS: float = 10
    HOOK_TRIES: int = 16
    NMI: dict[str, Any] = field(default_factory=dict, repr=False)


@cache
def get_conf() -> Conf:
    """Return the settings as they are now."""
    given: dict[str, Any] = getattr(settings, "FUNNEL", {})
    return Conf(**given)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "FUNNEL":
        get_conf.cache_clear()


setting_changed.connect(_forget, dispatch_uid="funnel.conf")
