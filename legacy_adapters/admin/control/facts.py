"""What the control room tells beside the board: repair, backfills, conflicts, processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Count, Max, Q

from legacy_adapters.admin.base import moment
from legacy_adapters.admin.history import by_whom, move_text
from legacy_adapters.admin.run_page import progress_of, state_badge, with_counts
from legacy_adapters.migration import fleet
from legacy_adapters.migration.repair import working
from legacy_adapters.models import BackfillRun, ParityFinding, SessionConflict, StageChange
from legacy_adapters.tables import rows
from sessions_unified.admin.formatting import NOTHING, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from legacy_adapters.migration.unseen import Unseen
    from sessions_unified.tiers import Tiers

HISTORY_SHOWN = 8


def repair_of(tiers: Tiers) -> dict[str, Any]:
    """Return how many sessions wait for repair, how many were given up, and since when."""
    backlog = working.backlog(tiers)
    return {
        "waiting": f"{backlog.waiting:,}",
        "dead": f"{backlog.dead:,}",
        "has_dead": backlog.dead > 0,
        "oldest": moment(backlog.oldest_at),
    }


def open_questions() -> dict[str, Any]:
    """Return how many conflicts wait for a person, and how many differences are known."""
    conflicts = rows(SessionConflict).filter(state=SessionConflict.State.OPEN)
    found = conflicts.aggregate(every=Count("pk"), needed=Count("pk", filter=Q(blocks=True)))
    differences = rows(ParityFinding).aggregate(every=Count("pk"), last=Max("last_seen_at"))
    return {
        "conflicts": f"{found['every']:,}",
        "needed": f"{found['needed']:,}",
        "has_needed": found["needed"] > 0,
        "differences": f"{differences['every']:,}",
        "last": moment(differences["last"]),
    }


def backfills_of() -> list[dict[str, Any]]:
    """Return the latest backfill of each store."""
    newest = rows(BackfillRun).order_by("source", "-created_at").distinct("source")
    runs = with_counts(rows(BackfillRun)).filter(pk__in=newest.values("pk")).order_by("source")
    return [
        {
            "pk": run.pk,
            "source": run.source,
            "badge": state_badge(run),
            "percent": progress_of(run).percent,
            "left": progress_of(run).left_text,
            "is_running": run.state == BackfillRun.State.RUNNING,
            "at": moment(run.finished_at or run.started_at or run.created_at),
        }
        for run in runs
    ]


def unseen_of(found: Sequence[Unseen]) -> list[dict[str, Any]]:
    """Return how many sessions browsers may still hold alone, and until when."""
    return [
        {
            "source": words(each.source),
            "count": f"{each.sessions:,}",
            "retire": moment(each.retire_at) if each.retire_at else "",
        }
        for each in found
    ]


def processes_of(tiers: Tiers) -> dict[str, Any]:
    """Return the living processes, and which of them have not seen the last move yet."""
    epoch = rows(StageChange).aggregate(last=Max("id"))["last"] or 0
    alive = [
        {
            "name": each.name,
            "place": f"{each.host}:{each.pid}",
            "reported": moment(each.reported_at),
            "started": moment(each.started_at),
            "is_behind": each.epoch < epoch,
            "epoch": each.epoch or NOTHING,
        }
        for each in fleet.processes(tiers)
    ]
    return {
        "alive": alive,
        "behind": sum(each["is_behind"] for each in alive),
        "epoch": epoch or NOTHING,
    }


def history_of() -> list[dict[str, Any]]:
    """Return the latest moves."""
    return [
        {
            "pk": change.pk,
            "at": moment(change.at),
            "endpoint": change.endpoint,
            "move": move_text(change),
            "by": by_whom(change),
            "reason": change.reason,
        }
        for change in rows(StageChange).order_by("-pk")[:HISTORY_SHOWN]
    ]
