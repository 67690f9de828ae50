"""How far each consumer has come, and where it was a little earlier."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sessions_unified.conf import get_conf
from sessions_unified.event_log import BEGINNING, Place, place_at
from sessions_unified.models import LogCursor

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from sessions_unified.relay.base import Consumer

_TRAIL_EVERY_SECONDS: Final = 5
_TRAIL_SECONDS: Final = 600  # of a consumer that began at the beginning


def find(consumer: Consumer, *, now: datetime) -> Place:
    """Return where the consumer is; a new one begins as far back as it asks for."""
    row = _stored().filter(pk=consumer.name).first()
    return place_of(row) if row is not None else _begin(consumer, now)


def lock(consumer: Consumer) -> LogCursor | None:
    """Lock the consumer's cursor until the transaction ends; None: another relay has it.

    A row lock, not a session's: behind a transaction pooler the next transaction may be another
    session.
    """
    return _stored().select_for_update(skip_locked=True).filter(pk=consumer.name).first()


def place_of(cursor: LogCursor) -> Place:
    """Return how far it has come."""
    return Place(cursor.xid, cursor.position)


def earlier(cursor: LogCursor, *, since: datetime) -> Place:
    """Return a place from which everything follows that was committed since then."""
    wanted = since.timestamp()
    # One that began later than that began with all that mattered.
    known = [Place(xid, position) for at, xid, position in cursor.trail if at <= wanted]
    known = known[-1:] or [Place(xid, position) for _, xid, position in cursor.trail[:1]]
    # Not beyond where it is: it may have gone back before, and be on its way still.
    return min([place_of(cursor), *known])


def move(cursor: LogCursor, place: Place, consumer: Consumer, *, now: datetime) -> None:
    """Save that everything up to ``place`` is handled; ``now`` is after it was read."""
    time = now.timestamp()
    trail = list(cursor.trail)
    # On its way again through what it had handled, where it was then is the better answer.
    is_ahead = not trail or place >= Place(trail[-1][1], trail[-1][2])
    if not trail or (is_ahead and time - trail[-1][0] >= _TRAIL_EVERY_SECONDS):
        trail.append([time, place.xid, place.position])
    # Of those that are old enough to go back to, the newest will do.
    oldest = time - (consumer.history_seconds or _TRAIL_SECONDS)
    while len(trail) > 1 and trail[1][0] <= oldest:
        del trail[0]
    _stored().filter(pk=cursor.pk).update(
        xid=place.xid, position=place.position, trail=trail, updated_at=now
    )


def _begin(consumer: Consumer, now: datetime) -> Place:
    seconds = consumer.history_seconds
    if seconds is None:
        since, place = now, BEGINNING
    else:
        since = now - timedelta(seconds=seconds)
        place = place_at(since)
    row = LogCursor(
        consumer=consumer.name,
        xid=place.xid,
        position=place.position,
        trail=[[since.timestamp(), *place]],
        updated_at=now,
    )
    _stored().bulk_create([row], ignore_conflicts=True)  # another relay may be as new
    return place


def _stored() -> QuerySet[LogCursor]:
    return LogCursor.objects.using(get_conf().DATABASE_ALIAS)
