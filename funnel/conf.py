"""The site's own settings: one typed view of ``settings.FUNNEL``, read live."""

from __future__ import annotations

from dataclasses import dataclass
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

    """

    GATEWAY: str = "funnel.payments.sandbox.SandboxGateway"
    LEASE_SECONDS: float = 60
    IDEMPOTENCY_HOURS: int = 24


@cache
def get_conf() -> Conf:
    """Return the settings as they are now."""
    given: dict[str, Any] = getattr(settings, "FUNNEL", {})
    return Conf(**given)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "FUNNEL":
        get_conf.cache_clear()


setting_changed.connect(_forget, dispatch_uid="funnel.conf")
