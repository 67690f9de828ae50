"""What must hold when a shop has been moved: the two books of money, the two sides, the marks."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from legacy_adapters.merging.comparing import differing
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.models import StageChange, WriteMark
from legacy_adapters.tables import rows
from legacy_adapters.verifying import Scope, verify
from legacy_adapters.verifying.findings import Finding, Kind
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.migrating import legacy_row, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

State = ChargeAttempt.State

EXPLAINED: Final = {Kind.AGREES, Kind.TRANSIENT, Kind.DECIDED}
"""All else differs: of what is deleted here the legacy store must have nothing either."""

AFTERMATH: Final = timedelta(seconds=4)
"""For so long after an outage a process may take our database for away: breaker, pool, retries."""


def undone() -> list[str]:
    """Return what waits for a repair, and the charges that wait for their outcome."""
    marks = WriteMark.objects.values_list("session_id", "side", "attempts", "is_dead", "problem")
    charges = ChargeAttempt.objects.filter(state__in=[State.CLAIMED, State.UNKNOWN])
    found = [f"marked: {each}" for each in marks]
    return found + [f"{each.session_id}: {each.purpose} is {each.state}" for each in charges]


def wait_until_drained(*, seconds: float = 60) -> None:
    """Wait until the worker has repaired everything, and knows what became of each charge."""
    deadline = time.monotonic() + seconds
    while left := undone():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def money_problems() -> list[str]:
    """Return where the gateway's books and the shop's are not the same, charge by charge.

    Each charge that was not given back pays for one thing, and each thing was paid by one. One
    that is `surplus` is a problem: none of these shoppers does what explains it.
    """
    given_back = {State.VOIDED, State.REFUNDED}
    attempts = ChargeAttempt.objects.exclude(gateway="imported")
    booked = {each.gateway_order_id: each for each in attempts}
    charged = set(SandboxCharge.objects.values_list("order_id", flat=True))
    taken = [each for each in ChargeAttempt.objects.all() if each.state == State.SUCCEEDED]
    found = [
        f"{session_id} paid {times} times: {purpose}"
        for (session_id, purpose), times in Counter(
            (each.session_id, each.purpose) for each in taken
        ).items()
        if times > 1
    ]
    for order_id in sorted(charged):
        attempt = booked.get(order_id)
        state = None if attempt is None else attempt.state
        if state not in {State.SUCCEEDED, *given_back}:
            found.append(f"{order_id} was charged, and is {state}")
    return found + [
        f"{each.gateway_order_id} is taken for paid, and was not charged"
        for each in taken
        if each.gateway != "imported" and each.gateway_order_id not in charged
    ]


def disagreements() -> list[str]:
    """Return what a full `verify_sessions` finds to differ, and all that tells how that came."""
    return _told(_differing())


def wait_until_accounted(
    outages: Sequence[tuple[datetime, datetime]] = (), *, seconds: float = 60
) -> None:
    """Wait until whatever differs is marked, or was written in an outage of our database.

    Nothing else is left for a backfill to find.
    """
    deadline = time.monotonic() + seconds
    while left := [each for each in _unmarked() if not _was_written_in(each, outages)]:
        assert time.monotonic() < deadline, _told(left)


def unmarked_writes(outages: Sequence[tuple[datetime, datetime]]) -> list[str]:
    """Return which sessions the legacy store has a newer state of, this moment, and no mark tells.

    Where that is written first, a mark is committed before, and cleared with our own row. So what
    is newer when the store is read, is marked when the marks are; or our row says it too by then.
    """
    adapter, tiers = table(), get_tiers()
    records = [each for batch in adapter.scan() for each in batch.records]
    marked = _marked()
    ours = tiers.database.peek_many([each.id for each in records if each.id is not None])
    found = []
    for record in records:
        there = adapter.to_unified(record)
        if there.id in marked or _is_within(there.updated_at, outages):
            continue
        here = ours[there.id].session if there.id in ours else None
        if here is None:
            if not UnifiedSession.objects.filter(pk=there.id).exists():  # else deleted meanwhile
                found.append(Finding(id=there.id, kind=Kind.MISSING))
        elif there.updated_at > here.updated_at:
            names = differing(there, here, fields=adapter.fields, now=tiers.clock.now())
            found += [Finding(id=there.id, kind=Kind.DIFFERS, fields=names)] if names else []
    return _told(found)


def marks_of_ours() -> list[str]:
    """Return the marks which say that our side was written first, at stages where legacy is.

    Of a process that had not heard of the last move yet there may be one of before.
    """
    moved_at = rows(StageChange).latest("pk").at + timedelta(seconds=1)
    found = rows(WriteMark).filter(marked_at__gt=moved_at, side=Side.UNIFIED)
    return [f"{each.session_id}: {each.marked_at}" for each in found]


def _differing() -> list[Finding]:
    report = verify(get_tiers(), table(), Scope(), recheck_seconds=1, shown=1000)
    kept = [each for found in report.findings.values() for each in found]
    return [each for each in kept if each.kind not in EXPLAINED]


def _unmarked() -> list[Finding]:
    """Return what differs of sessions that were marked neither before that was seen nor after."""
    before = _marked()
    found = _differing()
    marked = before | _marked()
    return [each for each in found if each.id not in marked]


def _marked() -> set[str]:
    return set(rows(WriteMark).values_list("session_id", flat=True))


def _was_written_in(found: Finding, outages: Iterable[tuple[datetime, datetime]]) -> bool:
    """Tell whether the legacy record is of a time when our database could not be told."""
    record = None if found.id is None else table().peek(found.id)
    if record is None or found.kind is Kind.UNREADABLE:
        return False
    return _is_within(table().to_unified(record).updated_at, outages)


def _is_within(at: datetime, outages: Iterable[tuple[datetime, datetime]]) -> bool:
    return any(began <= at <= ended + AFTERMATH for began, ended in outages)


def _told(found: Sequence[Finding]) -> list[str]:
    """Return in words what differs, with the records, marks, events and moves that explain it."""
    ids = [each.id for each in found if each.id is not None]
    if not found:
        return []
    marks = rows(WriteMark).filter(session_id__in=ids)
    events = SessionEvent.objects.filter(session_id__in=ids).order_by("session_id", "seq")
    moves = rows(StageChange).order_by("pk")
    return [
        *(f"{each.kind}: {each.id}: {', '.join(each.fields)} {each.evidence}" for each in found),
        *(f"legacy record: {legacy_row(each)}" for each in ids),
        *(f"mark: {each}" for each in marks.values()),
        *(f"event: {each}" for each in events.values()),
        *(f"{each.at}: {each.endpoint} to {each.to_stage}, {each.to_percent} %" for each in moves),
    ]


def demotions() -> list[str]:
    """Return the moves that nobody made: what is broken here is no reason for one."""
    return [f"{each}: {each.reason}" for each in rows(StageChange).filter(is_automatic=True)]
