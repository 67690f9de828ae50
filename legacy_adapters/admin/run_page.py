"""What is shown of a backfill: its state, how far it is, its slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.models import Max, Sum

from legacy_adapters.admin.base import moment
from legacy_adapters.admin.progress import Progress
from legacy_adapters.migration.backfill import runs
from legacy_adapters.migration.backfill.reporting import KINDS, Tally, rows_per_second
from legacy_adapters.models import BackfillRun
from sessions_unified.admin import formatting

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.utils.safestring import SafeString

    from legacy_adapters.models import BackfillSlice

State = BackfillRun.State
_LOOKS: Final = {
    State.QUEUED: "pending",
    State.RUNNING: "processing",
    State.PAUSED: "expired",
    State.FINISHED: "completed",
    State.FAILED: "failed",
}
_LABELS: Final = {
    "imported": "Imported",
    "unchanged": "Unchanged",
    "merged": "Merged into a session",
    "conflicting": "Conflicting",
    "unreadable": "Unreadable",
    "masked": "Card data masked",
}


def state_badge(run: BackfillRun) -> SafeString:
    """Return a run's state as a coloured badge."""
    return formatting.coloured(_LOOKS[State(run.state)], run.get_state_display())


def with_counts(found: QuerySet[BackfillRun]) -> QuerySet[BackfillRun]:
    """Return runs with their slices' counts added up, as the others here expect them."""
    sums = {f"sum_{name}": Sum(f"slices__{name}") for name in KINDS}
    return found.annotate(**sums, last_at=Max("slices__updated_at"))


def annotated_tally(run: Any) -> Tally:
    """Return the counts that came with the row."""
    return Tally(**{name: getattr(run, f"sum_{name}") or 0 for name in KINDS})


def progress_of(run: Any) -> Progress:
    """Return how far a run is."""
    read = annotated_tally(run).read
    return Progress(
        read=read,
        total=run.total,
        rate=rows_per_second(run, read=read, last_at=run.last_at),
        is_running=run.state == State.RUNNING,
        is_finished=run.state == State.FINISHED,
    )


def moments_of(run: BackfillRun) -> list[tuple[str, SafeString | str]]:
    """Return when it was made, began and ended."""
    found = [("made", run.created_at), ("began", run.started_at), ("ended", run.finished_at)]
    return [(label, moment(at)) for label, at in found if at is not None]


def counts_of(run: BackfillRun) -> list[tuple[str, str]]:
    """Return how many records became what, each with its label."""
    tally = annotated_tally(run)
    read = f"{tally.read:,} of about {run.total:,}"
    return [("Read", read), *((_LABELS[name], f"{getattr(tally, name):,}") for name in KINDS)]


def slices_of(run: BackfillRun) -> list[dict[str, Any]]:
    """Return what the page's table shows of each slice."""
    return [
        {
            "name": f"{_key(each.lower, 'the first')} → {_key(each.upper, 'the last')}",
            "is_finished": each.is_finished,
            "cursor": _key(each.cursor, formatting.NOTHING),
            "state": _state(each),
            "counts": [f"{getattr(each, name):,}" for name in KINDS],
            "updated": moment(each.updated_at),
        }
        for each in run.slices.order_by("pk")
    ]


def _key(text: str | None, otherwise: str) -> str:
    return runs.decode_key(text) or otherwise


def _state(part: BackfillSlice) -> str:
    if part.is_finished:
        return "finished"
    return "under way" if part.claimed_by else "waits"
