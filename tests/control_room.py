"""A migration in the middle, for tests of the control room: stages, comparisons, marks, history."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from legacy_adapters.migration.stages.slicing import bucket_of
from legacy_adapters.models import (
    BackfillRun,
    BackfillSlice,
    EndpointStage,
    ParityFinding,
    ParityMinute,
    ProcessReport,
    SessionConflict,
    StageChange,
    WriteMark,
)
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from datetime import datetime

PROBLEM = "UnwritableRecordError: the column phone holds 20 characters"
PLACES = {
    "session.create": ("live", 100),
    "session.detail": ("live", 25),
    "checkout.process": ("shadow", 100),
    "upsell.process": ("shadow", 100),
    "client.sync": ("dual_write", 100),
}


def a_migration(now: datetime | None = None) -> None:
    """Put one that has come half the way: two live, one demoted, one held."""
    now = now or get_clock().now()
    some_moves(now)
    for name, (stage, percent) in PLACES.items():
        came = StageChange.objects.filter(endpoint=name, to_stage=stage).latest("pk").at
        EndpointStage.objects.create(
            endpoint=name,
            stage=stage,
            percent=percent,
            entered_at=came,
            changed_at=came,
            demoted_at=came if name == "checkout.process" else None,
            paused_at=now - timedelta(minutes=20) if name == "client.sync" else None,
            pause_reason="Old browsers are still on last week's page" * (name == "client.sync"),
        )
    some_minutes("session.detail", "live", now, minutes=58, confirmed={37: 1}, slow=(14, 20))
    some_minutes("session.create", "live", now, minutes=58)
    some_minutes("upsell.process", "shadow", now, minutes=58, compared=9)
    some_minutes("checkout.process", "shadow", now, minutes=24, compared=15)
    some_marks(now)
    a_finding(now)
    some_work(now)


def some_moves(now: datetime) -> None:
    """Put the history that led there, the oldest first."""
    moves: list[tuple[float, str, str, str, float, str, str]] = []
    for name in PLACES:
        moves.append((98, name, "off", "dual_write", 100, "ada", "The backfill may begin"))
        if name != "client.sync":
            moves.append((50, name, "dual_write", "shadow", 100, "ada", "The copies are kept up"))
    live = "A day in shadow, nothing confirmed"
    moves += [
        (26, "session.create", "shadow", "live", 100, "grace", live),
        (5, "checkout.process", "shadow", "live", 10, "grace", "The first tenth of the checkouts"),
        (1, "session.detail", "shadow", "live", 25, "grace", live),
        (0.4, "checkout.process", "live", "shadow", 100, "demotion", ""),
    ]
    for hours, name, before, after, percent, actor, reason in sorted(moves, reverse=True):
        is_automatic = actor == "demotion"
        told = "5 confirmed differences of 412 comparisons (limit 5): products 4, amount 1"
        StageChange.objects.create(
            endpoint=name,
            from_stage=before,
            from_percent=10 if is_automatic else 100,
            to_stage=after,
            to_percent=percent,
            at=now - timedelta(hours=hours),
            actor=actor,
            reason=reason or told,
            is_automatic=is_automatic,
            gates=[{"name": "mismatches", "open": False, "reason": told}] if is_automatic else [],
        )


def some_minutes(
    name: str,
    stage: str,
    now: datetime,
    *,
    minutes: int,
    compared: int = 62,
    confirmed: dict[int, int] | None = None,
    slow: tuple[int, int] = (0, 0),
) -> None:
    """Put so many minutes of comparisons until now."""
    chance = random.Random(name)
    epoch = StageChange.objects.filter(endpoint=name).latest("pk").pk
    made = []
    for ago in range(minutes):
        count = max(1, round(compared * chance.uniform(0.75, 1.25)))
        wrong = (confirmed or {}).get(ago, 0)
        passing = min(count - wrong, chance.random() < 0.3)
        is_slow = slow[0] <= ago < slow[1]
        made.append(
            ParityMinute(
                endpoint=name,
                stage=stage,
                epoch=epoch,
                minute=now.replace(second=0, microsecond=0) - timedelta(minutes=ago + 1),
                compared=count,
                agreed=count - wrong - passing,
                transient=passing,
                confirmed=wrong,
                shed=chance.randrange(4) if is_slow else 0,
                reads=count,
                errors=1 if is_slow and chance.random() < 0.4 else 0,
                legacy_ms=_times(chance, count, (5, 10, 20, 50)),
                unified_ms=_times(chance, count, (2, 5, 20, 50) if is_slow else (1, 2, 5, 10)),
                fields={"products": wrong} if wrong else {},
            )
        )
    ParityMinute.objects.bulk_create(made)


def _times(chance: random.Random, count: int, bounds: tuple[int, int, int, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for bound in chance.choices(bounds, weights=(30, 50, 15, 5), k=count):
        found[str(bound)] = found.get(str(bound), 0) + 1
    return found


def some_marks(now: datetime, *, waiting: int = 23, dead: int = 2) -> None:
    """Put sessions that wait for repair, and some that were given up."""
    chance = random.Random(5)
    for number in range(waiting + dead):
        is_dead = number >= waiting
        ago = 48 if is_dead else chance.triangular(0.1, 22, 1)
        session_id = f"ws_mwqk{number:02}_{chance.randrange(10**8):08x}"
        WriteMark.objects.create(
            session_id=session_id,
            side="unified" if number % 4 else "legacy",
            bucket=bucket_of(session_id),
            marked_at=now - timedelta(minutes=ago),
            due_at=now + timedelta(seconds=40),
            attempts=12 if is_dead else number % 3,
            is_dead=is_dead,
            problem="UnwritableRecordError: the column phone holds 20 characters"
            if is_dead
            else "",
        )


def a_finding(now: datetime, **changes: Any) -> ParityFinding:
    """Put a confirmed difference, with evidence as a conflict has it."""
    note = {
        "field": "products",
        "rule": "references",
        "blocks": True,
        "unified": "SOIL, 2 of them",
        "legacy": {"database": "SOIL, 1 of them"},
    }
    given = {
        "endpoint": "checkout.process",
        "stage": "live",
        "session_id": "ws_mwqk02_5fa1c0de",
        "fields": ["products"],
        "evidence": [note],
        "times": 3,
        "first_seen_at": now - timedelta(minutes=50),
        "last_seen_at": now - timedelta(minutes=26),
    }
    return ParityFinding.objects.create(**given | changes)


def some_work(now: datetime) -> None:
    """Put a finished backfill, a catch-up under way, an open conflict, and two processes."""
    for state, since, hours in (
        ("finished", None, 60),
        ("running", now - timedelta(hours=1), 0.05),
    ):
        began = now - timedelta(hours=hours)
        run = BackfillRun.objects.create(
            source="database",
            state=state,
            since=since,
            batch_size=500,
            total=60_000,
            created_at=began,
            started_at=began,
            finished_at=began + timedelta(hours=1) if state == "finished" else None,
        )
        BackfillSlice.objects.create(run=run, imported=42_000, updated_at=now)
    SessionConflict.objects.create(
        source="database",
        session_id="ws_mwqk07_00c0ffee",
        fields=["email"],
        seen_at=now - timedelta(hours=2),
    )
    epoch = StageChange.objects.latest("pk").pk
    for number, name in enumerate(("web", "web", "worker")):
        ProcessReport.objects.create(
            id=uuid4(),
            name=name,
            host=f"shop-{number % 2 + 1}",
            pid=4100 + number,
            epoch=epoch,
            started_at=now - timedelta(hours=30),
            reported_at=now,
        )
