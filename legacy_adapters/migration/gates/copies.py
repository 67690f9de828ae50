"""Whether both sides have been brought together: by a backfill, and by repair."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Min, Q

from legacy_adapters.migration.backfill import runs
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.gates.gate import Gate
from legacy_adapters.migration.sides.primary import primary_name
from legacy_adapters.migration.stages.names import Side, Stage
from legacy_adapters.migration.steering import history
from legacy_adapters.models import SessionConflict, WriteMark
from legacy_adapters.tables import rows

if TYPE_CHECKING:
    from legacy_adapters.migration.gates.gate import Move


def backfill(move: Move) -> Gate:
    """A backfill that began after every endpoint wrote both sides is finished.

    What is written since then comes over by itself; what is older, by that backfill. A catch-up
    counts if those before it leave no gap.
    """
    del move
    source = primary_name()
    since = history.reached_by_all(Stage.DUAL_WRITE)
    if since is None:
        reason = (
            "It can begin once every endpoint is at dual_write or later for all sessions; then run "
            f"`backfill_sessions --source {source}`."
        )
        return Gate(name="backfill", is_open=False, reason=reason, figure="none")
    overlapped = runs.since_last(source)
    began = None if overlapped is None else overlapped + runs.OVERLAP
    needs = f"{since:%Y-%m-%d %H:%M:%S} UTC"
    if began is not None and began >= since:
        figure = f"{began:%Y-%m-%d %H:%M:%S} UTC"
        reason = f"The backfill of {source} that began at {figure} is finished."
        return Gate(name="backfill", is_open=True, reason=reason, figure=figure, needs=needs)
    run = runs.open_run(source)
    figure = "none" if began is None else f"{began:%Y-%m-%d %H:%M:%S} UTC"
    if run is not None and run.created_at >= since:
        reason = f"The {run} is {run.state}; it must have finished."
    else:
        reason = (
            f"No backfill of {source} has finished that began after {needs}, when the last "
            f"endpoint reached dual_write: run `backfill_sessions --source {source}`."
        )
    return Gate(name="backfill", is_open=False, reason=reason, figure=figure, needs=needs)


def marks(move: Move) -> Gate:
    """No session has waited long for its repair, and none is given up."""
    seconds = get_conf().MAX_MARK_AGE_SECONDS
    too_old = Q(marked_at__lt=move.now - timedelta(seconds=seconds)) | Q(is_dead=True)
    return _marks(move, too_old, f"none older than {seconds:g} s")


def drained(move: Move) -> Gate:
    """No session waits for its repair, but for writes under way this moment.

    Those are to be brought to the legacy side, which has what was written before; should the
    endpoint come back, they are brought up with all that was written since.
    """
    seconds = min(get_conf().REPAIR_DELAY_SECONDS, 30)
    under_way = Q(
        side=Side.UNIFIED,
        attempts=0,
        is_dead=False,
        marked_at__gt=move.now - timedelta(seconds=seconds),
    )
    return _marks(move, ~under_way, "none")


def _marks(move: Move, too_old: Q, needs: str) -> Gate:
    found = rows(WriteMark).aggregate(
        waiting=Count("pk"),
        bad=Count("pk", filter=too_old),
        dead=Count("pk", filter=Q(is_dead=True)),
        oldest=Min("marked_at"),
    )
    figure = f"{found['bad']} of {found['waiting']}"
    if not found["bad"]:
        reason = f"No session has waited too long for its repair ({found['waiting']} wait)."
        return Gate(name="marks", is_open=True, reason=reason, figure=figure, needs=needs)
    age = (move.now - found["oldest"]).total_seconds()
    reason = (
        f"{found['bad']:,} sessions still wait for their repair, the oldest for {age:,.0f} s; let "
        "the workers repair them"
    )
    if found["dead"]:
        reason += f", and look at the {found['dead']:,} that were given up"
    return Gate(name="marks", is_open=False, reason=f"{reason}.", figure=figure, needs=needs)


def conflicts(move: Move) -> Gate:
    """Say how many sessions wait for a person's decision; they keep nobody back.

    Both sides keep what they have of them, at every stage.
    """
    del move
    open_ones = rows(SessionConflict).filter(state=SessionConflict.State.OPEN, blocks=True).count()
    reason = "No session waits for a person's decision."
    if open_ones:
        reason = (
            f"{open_ones:,} sessions wait for a person's decision between their copies; the move "
            "does not depend on them."
        )
    return Gate(name="conflicts", is_open=True, reason=reason, figure=f"{open_ones}")
