"""What a person reads of a backfill: its report, and how far its runs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.migration.backfill.reporting import (
    KINDS,
    MOST_FINDINGS,
    Tally,
    rows_per_second,
    tally_of,
)
from legacy_adapters.migration.backfill.runs import decode_key
from legacy_adapters.migration.backfill.slices import is_worked_on
from legacy_adapters.models import BackfillRun
from legacy_adapters.tables import rows
from sessions_unified.progress import rate_of, time_left

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from legacy_adapters.migration.backfill.reporting import Finding, Report
    from legacy_adapters.models import BackfillSlice

SHOWN: Final = 20
"""How many conflicting, and unreadable, records are named one by one."""
RUNS_SHOWN: Final = 5

_TITLES: Final = {
    "conflicting": "Conflicting (the session here stays)",
    "masked": "Card data (masked in the session; erase it from the legacy store)",
    "unreadable": "Unreadable (left in the legacy store)",
}


def counts(tally: Tally, *, is_dry_run: bool = False) -> Iterator[str]:
    """Yield the counts, a line each."""
    heading = "Read (dry run: nothing was written)" if is_dry_run else "Read"
    lines = {
        "would be imported" if is_dry_run else "imported": tally.imported,
        "unchanged": tally.unchanged,
        "would be merged" if is_dry_run else "merged": tally.merged,
        "conflicting": tally.conflicting,
        "unreadable": tally.unreadable,
    }
    width = len(f"{tally.read:,}")
    yield f"{heading}: {tally.read:,}"
    for label, number in lines.items():
        yield f"  {number:>{width},} {label}"


def findings(report: Report) -> Iterator[tuple[str, list[str]]]:
    """Yield each kind that there is, its title first, then the first of its records."""
    for kind, title in _TITLES.items():
        found = [each for each in report.findings if each.kind == kind]
        if found:
            yield f"{title}:", list(_named(found, getattr(report.tally, kind)))


def _named(found: Sequence[Finding], total: int) -> Iterator[str]:
    for each in found[:SHOWN]:
        yield f"  {each.id or '(no id)'}: {each.detail}"
    if total > SHOWN:
        named = "all of them" if total <= MOST_FINDINGS else "the first of them"
        yield f"  … and {total - SHOWN:,} more (--json names {named})"


def recent(source: str) -> list[BackfillRun]:
    """Return the last runs of a source, the newest first."""
    return list(rows(BackfillRun).filter(source=source).order_by("-pk")[:RUNS_SHOWN])


def status(run: BackfillRun, *, now: datetime) -> Iterator[str]:
    """Yield how far a run is; of one that is not over, slice by slice."""
    found = as_json(run, now=now)
    yield f"{str(run).capitalize()}: {_state(run, found)}"
    if run.problem:
        yield f"  {run.problem}"
    if run.finished_at is None:
        for number, part in enumerate(run.slices.order_by("pk"), 1):
            yield f"  slice {number}: {_slice(part, now=now)}"


def _state(run: BackfillRun, found: dict[str, Any]) -> str:
    read = f"{found['read']:,} of about {run.total:,} records"
    if run.finished_at is not None:
        return f"{run.state} {run.finished_at:%Y-%m-%d %H:%M} UTC, {read}"
    if run.state == BackfillRun.State.RUNNING and not found["working"]:
        return f"begun, and nobody is at it: {read}. --resume goes on"
    rate = found["rowsPerSecond"] if run.state == BackfillRun.State.RUNNING else None
    pace = "" if not rate else f", {rate_of(rate)}, {time_left(run.total - found['read'], rate)}"
    where = " in the background" if run.is_background else ""
    return f"{run.state}{where}, {read}{pace}"


def _slice(part: BackfillSlice, *, now: datetime) -> str:
    read = Tally(**{name: getattr(part, name) for name in KINDS}).read
    if part.is_finished:
        return f"finished, {read:,} records"
    if part.updated_at is None:
        return "not begun"
    at = "" if part.cursor is None else f" at {decode_key(part.cursor)}"
    ago = max(0, round((now - part.updated_at).total_seconds()))
    who = "a worker is at it" if part.claimed_by else "waiting"
    return f"{read:,} records{at}, {who}, last batch {ago:,} s ago"


def as_json(run: BackfillRun, *, now: datetime) -> dict[str, Any]:
    """Return how far a run is, for scripts."""
    tally = tally_of(run)
    seen = [part.updated_at for part in run.slices.all() if part.updated_at is not None]
    rate = rows_per_second(run, read=tally.read, last_at=max(seen, default=None))
    return {
        "run": run.pk,
        "source": run.source,
        "state": run.state,
        "background": run.is_background,
        "working": is_worked_on(run, now=now),
        "since": run.since,
        "total": run.total,
        "read": tally.read,
        **{name: getattr(tally, name) for name in KINDS},
        "rowsPerSecond": None if rate is None else round(rate, 1),
        "problem": run.problem or None,
    }
