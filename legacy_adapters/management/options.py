"""Values of the commands' options, checked as they are read."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime

from django.utils.dateparse import parse_date, parse_datetime


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def natural(text: str) -> int:
    """Return a whole number of at least 0."""
    return positive(str(int(text) + 1)) - 1


def moment(text: str, *words: str) -> datetime:
    """Return a time; one without an offset is UTC, a date its beginning.

    ``words`` are what the option takes instead of a time: the refusal names them too.
    """
    try:
        day = parse_date(text)
        found = parse_datetime(text) if day is None else datetime(*day.timetuple()[:3], tzinfo=UTC)
    except ValueError:
        found = None
    if found is None:
        *forms, last = ("2026-11-21", "2026-11-21T08:30", *words)
        raise ArgumentTypeError(f"{text!r} is no time. Write {', '.join(forms)} or {last}.")
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
