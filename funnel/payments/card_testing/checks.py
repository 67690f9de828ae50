"""System checks of the limits, and of whose address is counted."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from funnel.conf import get_conf

_LEAST: Final = {
    "DECLINES_PER_SESSION": 1,
    "DECLINES_PER_ADDRESS": 0,
    "DECLINES_PER_CARD": 0,
    "TRUSTED_PROXIES": 0,
}


def check_limits(**_: Any) -> list[CheckMessage]:
    """Validate the numbers."""
    conf = get_conf()
    wrong = [
        (f"{name} is below {least}.", f"Set FUNNEL[{name!r}] to {least} or more.")
        for name, least in _LEAST.items()
        if getattr(conf, name) < least
    ]
    if conf.DECLINE_WINDOW_SECONDS <= 0:
        wrong.append(
            (
                "DECLINE_WINDOW_SECONDS is not above 0.",
                "Set FUNNEL['DECLINE_WINDOW_SECONDS'] to seconds, 3600 for example.",
            )
        )
    return [Error(text, hint=hint, id="funnel.E040") for text, hint in wrong]


def check_proxies(**_: Any) -> list[CheckMessage]:
    """Find a proxy whose own address would be counted as every shopper's."""
    conf = get_conf()
    is_behind_one = getattr(settings, "SECURE_PROXY_SSL_HEADER", None) is not None
    if not is_behind_one or conf.TRUSTED_PROXIES or not conf.DECLINES_PER_ADDRESS:
        return []
    return [
        CheckWarning(
            "The site is behind a proxy, and TRUSTED_PROXIES is 0: all shoppers seem to come from "
            "the proxy's address, and declines of some would stop the payments of all.",
            hint="Set TRUSTED_PROXIES to the number of proxies that add to X-Forwarded-For, or "
            "DECLINES_PER_ADDRESS to 0.",
            id="funnel.W040",
        )
    ]
