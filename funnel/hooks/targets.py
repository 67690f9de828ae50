"""The targets of ``HOOKS``, as their settings describe them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from funnel.conf import get_conf
from funnel.hooks.calling import CallableTarget
from funnel.hooks.signing import parse_secrets
from funnel.hooks.webhook import WebhookTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from funnel.hooks.base import Target

logger = logging.getLogger(__name__)

CALLABLE: Final = frozenset({"CALLABLE"})
WEBHOOK: Final = frozenset({"URL", "SECRET"})
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
NAME_LENGTH: Final = 64


def get_targets() -> dict[str, Target]:
    """Return the targets that can be told; one whose settings are wrong is logged and left out."""
    targets: dict[str, Target] = {}
    for name, given in get_conf().HOOKS.items():
        try:
            targets[name] = parse(name, given)
        except ValueError as exc:
            logger.error("HOOKS[%r]: %s. Its deliveries wait.", name, exc)  # noqa: TRY400  (no fault of the code)
    return targets


def parse(name: str, given: Mapping[str, Any]) -> Target:
    """Return the target of an entry of ``HOOKS``.

    Raises:
        ValueError: what is wrong with it; no secret is quoted.

    """
    if not 0 < len(name) <= NAME_LENGTH:
        raise ValueError(f"a name has 1 to {NAME_LENGTH} characters")
    keys = set(given)
    if keys == CALLABLE:
        return CallableTarget(name=name, path=given["CALLABLE"])
    if keys != WEBHOOK:
        raise ValueError("it has other keys than CALLABLE alone, or URL and SECRET")
    check_url(given["URL"])
    return WebhookTarget(
        name=name,
        url=given["URL"],
        secrets=parse_secrets(given["SECRET"]),
        timeout_seconds=get_conf().HOOK_TIMEOUT_SECONDS,
    )


def check_url(url: str) -> None:
    """Refuse an address that is not HTTPS, or HTTP to this machine.

    Raises:
        ValueError: it is not.

    """
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ValueError("URL is no http(s) address")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("URL is not https, and not on this machine: orders would travel in clear")
