"""Moments as JavaScript wrote them: numbers since 1970, in milliseconds or in seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# As seconds this is the year 5138, as milliseconds 1973: no moment of a shop is near either.
_FEWEST_MILLISECONDS: Final = 10**11
# Here the year 9998 is over: arithmetic on later dates overflows.
_END_MILLISECONDS: Final = 253_370_764_800_000


def moment(value: Any) -> datetime:
    """Return the moment of a number, aware, in UTC; its size tells milliseconds from seconds.

    Raises:
        ValueError: it is missing or no such number; the message says which.

    """
    if value is None:
        raise ValueError("is missing")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        # A ValueError as all the others: to who reads a record it is one.
        raise ValueError(f"is no number but {type(value).__name__}")  # noqa: TRY004
    exact = Decimal(value)
    if not exact.is_finite():
        raise ValueError("is no finite number")
    # Compared before anything is calculated: the number may have any number of digits.
    if exact < 0 or exact >= _END_MILLISECONDS:
        raise ValueError("is out of range")
    seconds = exact / 1000 if exact >= _FEWEST_MILLISECONDS else exact
    return _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))
