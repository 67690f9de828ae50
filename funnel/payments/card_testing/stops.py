"""The record of who was stopped: one row a subject, written after a refusal, cleared by staff."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import F, Q

from funnel.exceptions import TooManyDeclinesError
from funnel.payments.card_testing.metrics import CHARGES_REFUSED
from funnel.payments.card_testing.models import CardTestingStop
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from funnel.payments.card_testing.refusals import Refusal

logger = logging.getLogger(__name__)

KEPT_DAYS: Final = 90

_NOTE: Final = """
INSERT INTO funnel_cardtestingstop AS stop
    (scope, subject, declines, refusals, first_at, last_at, until, cleared_by)
VALUES (%(scope)s, %(subject)s, %(declines)s, 1, %(now)s, %(now)s, %(until)s, '')
ON CONFLICT (scope, subject) DO UPDATE SET
    declines = EXCLUDED.declines, refusals = stop.refusals + 1,
    last_at = GREATEST(stop.last_at, EXCLUDED.last_at), until = EXCLUDED.until
"""


@contextmanager
def noted() -> Iterator[None]:
    """Count a refusal of the block, and note it once the block's transaction is rolled back.

    It stands even if it cannot be noted.
    """
    try:
        yield
    except TooManyDeclinesError as exc:
        for refusal in exc.refusals:
            CHARGES_REFUSED.labels(refusal.scope).inc()
        try:
            note(exc.refusals, get_clock().now())
        except DatabaseError as failure:
            logger.warning("A refused charge could not be noted: %s", type(failure).__name__)
        raise


def note(refusals: Sequence[Refusal], now: datetime) -> None:
    """Write down that a charge was refused, for each of its subjects.

    In the order that the guard gives: two that share an address and a card wait for each other.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for each in refusals:
            values: dict[str, str | int | datetime] = {
                "scope": each.scope,
                "subject": each.subject,
                "declines": each.declines,
                "until": each.until,
                "now": now,
            }
            cursor.execute(_NOTE, values)


def holding(now: datetime) -> Q:
    """Return the condition of stops that hold: not over, and not cleared since the last refusal."""
    is_cleared = Q(cleared_at__isnull=False, cleared_at__gte=F("last_at"))
    return Q(until__gt=now) & ~is_cleared


def holds(stop: CardTestingStop, now: datetime) -> bool:
    """Tell the same of one that is at hand."""
    is_cleared = stop.cleared_at is not None and stop.cleared_at >= stop.last_at
    return stop.until > now and not is_cleared


def clear(stop: CardTestingStop, *, by: str, now: datetime) -> bool:
    """Let a subject through again: its declines until now do not count; False if it is not stopped.

    A stop that was made anew meanwhile is cleared too: who clears has seen that it is one.
    """
    held = CardTestingStop.objects.filter(holding(now), pk=stop.pk)
    return held.update(cleared_at=now, cleared_by=by) == 1


def forget_old(now: datetime) -> int:
    """Drop what was last refused long ago; return how many."""
    old = CardTestingStop.objects.filter(last_at__lt=now - timedelta(days=KEPT_DAYS))
    deleted, _ = old.delete()
    return deleted
