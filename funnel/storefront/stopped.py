"""What a shopper is told whose payment is not tried, after too many that were declined."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from django.http import HttpResponse

    from funnel.exceptions import TooManyDeclinesError

STATUS: Final = 429
_MINUTES_AN_HOUR: Final = 60


def text(exc: TooManyDeclinesError) -> str:
    """Return what to say. It names no limit, and not what was counted: testers read it too."""
    return (
        "Too many payments were declined, so this one was not tried and nothing was charged. "
        f"Please wait {_duration(exc.retry_after)}, then try again."
    )


def with_retry(response: HttpResponse, exc: TooManyDeclinesError) -> HttpResponse:
    """Say when to come again, unless the answer leads elsewhere."""
    if response.status_code == STATUS:
        response["Retry-After"] = str(exc.retry_after)
    return response


def _duration(seconds: int) -> str:
    minutes = math.ceil(seconds / 60)
    if minutes < 2:  # noqa: PLR2004  (one is said in words)
        return "a minute"
    if minutes < _MINUTES_AN_HOUR:
        return f"{minutes} minutes"
    hours = math.ceil(minutes / _MINUTES_AN_HOUR)
    return "an hour" if hours == 1 else f"{hours} hours"
