"""Slices of a run: claimed by one worker, and saved with the batch that moves their cursor.

A claim spares workers from doing the same; what keeps them from it is the check under the row's
lock, in the batch's own transaction, that claim and cursor are still what the worker knows. One
that was taken for dead while it read, and comes first all the same, has its claim back: where each
read takes longer than a claim, nobody would ever save a batch otherwise.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import F, Q

from legacy_adapters.migration.backfill.reporting import MOST_FINDINGS, Finding, tally_of
from legacy_adapters.migration.backfill.runs import encode_key
from legacy_adapters.models import BackfillFinding, BackfillRun, BackfillSlice
from legacy_adapters.tables import atomic, rows
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from legacy_adapters.migration.backfill.chunks import Outcome

CLAIM_LIFETIME: Final = timedelta(seconds=60)
"""A worker that has saved nothing for so long is taken for dead; rests are far shorter."""


def is_worked_on(run: BackfillRun, *, now: datetime) -> bool:
    """Tell whether a worker has a slice of the run, and gave a sign of life lately."""
    alive = rows(BackfillSlice).filter(run=run, updated_at__gte=now - CLAIM_LIFETIME)
    return alive.exclude(claimed_by="").exists()


def claim(run: BackfillRun, worker: str, *, most: int | None = None) -> BackfillSlice | None:
    """Take an unfinished slice that no living worker has; None: there is none, or no run goes on.

    ``most``: not while so many workers are at the run.
    """
    now = get_clock().now()
    is_dead = Q(claimed_by="") | Q(updated_at=None) | Q(updated_at__lt=now - CLAIM_LIFETIME)
    with atomic():
        # A claim is made under the run's lock: two workers see each other's.
        locked = rows(BackfillRun).select_for_update().get(pk=run.pk)
        if locked.state != BackfillRun.State.RUNNING:
            return None
        left = rows(BackfillSlice).filter(run=run, is_finished=False)
        if most is not None and left.exclude(is_dead).count() >= most:
            return None
        # A slice that is locked is in the middle of a batch, however long that takes.
        free = left.filter(is_dead).select_for_update(skip_locked=True).order_by("pk")
        found = free.first()
        if found is not None:
            found.claimed_by, found.updated_at = worker, now
            found.save(update_fields=["claimed_by", "updated_at"])
        return found


def save_batch(
    part: BackfillSlice, *, work: Callable[[], Outcome], cursor: str | None, is_last: bool
) -> Outcome | None:
    """Do a batch's ``work`` and move the slice's cursor, in one transaction.

    None: the slice is not this worker's any more, or the run is paused or over; nothing was done.
    """
    with atomic(durable=True):
        if not _is_still_ours(part):
            return None
        found = work()
        saved = encode_key(cursor) if cursor is not None else part.cursor
        counts = {name: F(name) + number for name, number in vars(found.tally).items() if number}
        now = get_clock().now()
        rows(BackfillSlice).filter(pk=part.pk).update(
            cursor=saved,
            is_finished=is_last,
            claimed_by=part.claimed_by,
            updated_at=now,
            **counts,
        )
        _keep(part.run, found.findings)
    part.cursor, part.updated_at = saved, now
    return found


def release(part: BackfillSlice) -> None:
    """Give a slice back, if it is still this worker's."""
    rows(BackfillSlice).filter(pk=part.pk, claimed_by=part.claimed_by).update(claimed_by="")


def release_all(run: BackfillRun, worker: str) -> None:
    """Give back what a worker that died had claimed."""
    rows(BackfillSlice).filter(run=run, claimed_by=worker).update(claimed_by="")


def _is_still_ours(part: BackfillSlice) -> bool:
    locked = rows(BackfillSlice).select_related("run").select_for_update(of=("self",))
    now = locked.get(pk=part.pk)
    is_ours = now.claimed_by == part.claimed_by or _was_taken_for_dead(part, now)
    is_open = not now.is_finished and now.run.state == BackfillRun.State.RUNNING
    return is_ours and now.cursor == part.cursor and is_open


def _was_taken_for_dead(part: BackfillSlice, now: BackfillSlice) -> bool:
    """Tell whether another has the slice because its worker saved nothing for long."""
    if not now.claimed_by or now.updated_at is None or part.updated_at is None:
        return False
    return now.updated_at - part.updated_at > CLAIM_LIFETIME


def _keep(run: BackfillRun, findings: Sequence[Finding]) -> None:
    if not findings:
        return
    # The slice is counted by now, these findings with it.
    left = MOST_FINDINGS - (tally_of(run).findings - len(findings))
    rows(BackfillFinding).bulk_create(
        BackfillFinding(
            run=run,
            kind=BackfillFinding.Kind(each.kind),
            record_id=None if each.id is None else printable_text(each.id),
            detail=printable_text(each.detail),
        )
        for each in findings[: max(0, left)]
    )


def printable_text(text: str) -> str:
    """Return text with marks for what PostgreSQL cannot hold: NUL, and half characters."""
    return text.encode(errors="replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
