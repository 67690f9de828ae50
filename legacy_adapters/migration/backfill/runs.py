"""Runs of the backfill: begun, found again, paused, gone on with, abandoned, finished."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from django.db import IntegrityError

from legacy_adapters.exceptions import OpenRunError
from legacy_adapters.migration.backfill.reporting import tally_of
from legacy_adapters.models import BackfillRun, BackfillSlice
from legacy_adapters.tables import atomic, rows
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from legacy_adapters.base import LegacyAdapter

OPEN: Final = (BackfillRun.State.QUEUED, BackfillRun.State.RUNNING, BackfillRun.State.PAUSED)
OVERLAP: Final = timedelta(minutes=10)
"""A catch-up begins so long before the run that it follows: the longest transaction of the old
shop, during which a row is changed and cannot be seen, and what its clock may be behind ours."""

_ROWS_A_SLICE: Final = 5_000
_MOST_SLICES: Final = 64


def open_run(source: str) -> BackfillRun | None:
    """Return the source's run that is not over."""
    return rows(BackfillRun).filter(source=source, state__in=OPEN).first()


def since_last(source: str) -> datetime | None:
    """Return from when on a catch-up must read; None: no run has finished, so everything.

    From the *beginning* of the last one that finished: what changed while it ran, behind its
    cursor, it has not seen. One that began to read later than where those before it ended leaves
    a gap, and does not count.
    """
    finished = rows(BackfillRun).filter(source=source, state=BackfillRun.State.FINISHED)
    found: datetime | None = None
    for since, created_at in finished.order_by("created_at").values_list("since", "created_at"):
        if since is None or (found is not None and since <= found):
            found = created_at - OVERLAP
    return found


def begin(
    adapter: LegacyAdapter,
    *,
    batch_size: int,
    workers: int = 1,
    since: datetime | None = None,
    rows_per_second: int | None = None,
    is_background: bool = False,
    actor: str = "",
) -> BackfillRun:
    """Make a run, its slices cut so that ``workers`` can share them.

    Raises:
        OpenRunError: there is one of this source that is not over.
        SourceUnavailableError: the store did not answer.

    """
    now = get_clock().now()
    total = adapter.count(since=since)
    # A catch-up goes through the whole store too, and its claims last no longer.
    rows_passed = total if since is None else adapter.count()
    parts = max(workers, min(_MOST_SLICES, rows_passed // _ROWS_A_SLICE))
    keys = adapter.boundaries(parts) if parts > 1 else ()
    try:
        with atomic():
            run = rows(BackfillRun).create(
                source=adapter.source,
                state=BackfillRun.State.QUEUED,
                since=since,
                batch_size=batch_size,
                rows_per_second=rows_per_second,
                is_background=is_background,
                total=total,
                actor=actor,
                created_at=now,
            )
            bounds = [None, *map(encode_key, keys), None]
            rows(BackfillSlice).bulk_create(
                BackfillSlice(run=run, lower=lower, upper=upper, cursor=lower)
                for lower, upper in pairwise(bounds)
            )
    except IntegrityError as exc:
        raise _refusal(adapter.source) from exc
    return run


def refuse_if_open(source: str) -> None:
    """Raise `OpenRunError` if a run of this source is not over."""
    if open_run(source) is not None:
        raise _refusal(source)


def go_on(
    run: BackfillRun,
    *,
    is_background: bool = False,
    rows_per_second: int | None = None,
    batch_size: int | None = None,
) -> None:
    """Take a run up again: the pause is over, and nobody's claim counts any more.

    A worker that is at it all the same finds its claim gone at its next batch, and leaves.
    None: as before; 0 ``rows_per_second``: no limit any more.
    """
    with atomic():
        found = _open(run)
        found.update(state=BackfillRun.State.RUNNING, is_background=is_background, problem="")
        found.filter(started_at=None).update(started_at=get_clock().now())
        if rows_per_second is not None:
            found.update(rows_per_second=rows_per_second or None)
        if batch_size is not None:
            found.update(batch_size=batch_size)
        run.slices.exclude(claimed_by="").update(claimed_by="")
    run.refresh_from_db()


def start(run: BackfillRun) -> None:
    """Say that somebody is at it."""
    queued = rows(BackfillRun).filter(pk=run.pk, state=BackfillRun.State.QUEUED)
    queued.update(state=BackfillRun.State.RUNNING, started_at=get_clock().now())
    run.refresh_from_db()


def pause(run: BackfillRun) -> None:
    """Let every worker stop after its batch."""
    _open(run).update(state=BackfillRun.State.PAUSED)


def abandon(run: BackfillRun, *, reason: str) -> None:
    """End a run for good; what it has imported stays."""
    now = get_clock().now()
    _open(run).update(state=BackfillRun.State.FAILED, problem=reason, finished_at=now)


def note_problem(run: BackfillRun, problem: str) -> None:
    """Keep why nobody can go on for now; the next success takes it back."""
    _open(run).exclude(problem=problem).update(problem=problem)


def finish_if_done(run: BackfillRun) -> bool:
    """Close the run if all of its slices are finished; tell whether they are.

    In a statement of its own, after the last batch's commit: two workers that finish at once do
    not see each other's.
    """
    if run.slices.filter(is_finished=False).exists():
        return False
    now = get_clock().now()
    _open(run).update(state=BackfillRun.State.FINISHED, finished_at=now, problem="")
    run.refresh_from_db()
    return True


def encode_key(key: str) -> str:
    """Return a key as a column can hold it: NUL and half characters too."""
    return json.dumps(key)


def decode_key(text: str | None) -> str | None:
    """Return the key that `encode_key` wrote."""
    return None if text is None else str(json.loads(text))


def _open(run: BackfillRun) -> QuerySet[BackfillRun]:
    return rows(BackfillRun).filter(pk=run.pk, state__in=OPEN)


def _refusal(source: str) -> OpenRunError:
    run = open_run(source)
    if run is None:  # it ended this moment
        return OpenRunError(f"Another backfill of {source} ended just now. Start again.")
    done = tally_of(run).read
    return OpenRunError(
        f"The {run}, begun {run.created_at:%Y-%m-%d %H:%M} UTC, is not over: {run.state}, "
        f"{done:,} of about {run.total:,} records read. Go on with it by --resume, or abandon it "
        "and begin anew by --restart."
    )
