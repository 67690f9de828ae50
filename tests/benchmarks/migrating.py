"""What the migrating manager costs at each stage, and what a shadow read costs the reply."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Sum

from legacy_adapters.migration.manager import MigratingSessionManager
from legacy_adapters.migration.parity.pool import flush
from legacy_adapters.migration.parity.tallies import COUNTS
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.moving import move
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.models import ParityMinute, WriteMark
from sessions_unified.manager import UnifiedSessionManager
from tests.benchmarks.legacy import TABLE
from tests.benchmarks.measuring import Measured, Side, percentile, timed
from tests.benchmarks.payload import ORDER
from tests.benchmarks.rows import row
from tests.benchmarks.traffic import WrongTierError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.measuring import Operation

_ENDPOINT: Final = Endpoint.DETAIL.value
_UTILISATION: Final = 0.3
_STAGED: Final = 2_000
_SETTLED_SECONDS: Final = 10
_visits = itertools.count(10)


@row(
    operation="get and update at `complete`, the manager's making included",
    baseline="the same by the plain manager",
    target=1.05,
)
def complete_overhead(bench: Bench) -> Measured:
    with _shop(bench, Stage.COMPLETE):
        ours, plain = (_both(bench, each) for each in (MigratingSessionManager, None))
        return bench.compare(ours, plain)


@row(
    operation="a read in `shadow`, at 30 % of `off`'s capacity",
    baseline="the same read in `off`, at the same rate",
    target=1.1,
)
def shadow_overhead(bench: Bench) -> Measured:
    with _shop(bench, Stage.DUAL_WRITE) as ids:
        _to(bench, Stage.OFF)
        flush()
        ParityMinute.objects.all().delete()  # what other rows read
        pause = _pause(bench, ids)
        print(f"  one read every {pause * 1e3:.2f} ms, on both sides", flush=True)
        rounds = [_paced_round(bench, ids, pause) for _ in range(bench.plan.rounds)]
    return Measured(
        p50_us=_median(percentile(spent[Stage.SHADOW], 50) for spent in rounds),
        p99_us=_median(percentile(spent[Stage.SHADOW], 99) for spent in rounds),
        baseline_p50_us=_median(percentile(spent[Stage.OFF], 50) for spent in rounds),
    )


def _register(stage: Stage, what: str, operation: Callable[[Any], Operation]) -> None:
    def run(bench: Bench) -> Measured:
        with _shop(bench, stage) as ids:
            fill = partial(bench.fill, bench.all_tiers)  # neither side finds what the other filled
            ours = Side(start=lambda: operation(_migrating(bench)), keys=ids, prepare=fill)
            plain = Side(start=lambda: operation(_plain(bench)), keys=ids, prepare=fill)
            return _shorter(bench, ours, plain)

    run.__name__ = f"stage_{stage}_{what}"
    row(
        operation=f"{what}_session at `{stage}`",
        baseline="the same by the plain manager",
        target=None,
    )(run)


def _get(manager: UnifiedSessionManager) -> Operation:
    return manager.get_session


def _update(manager: UnifiedSessionManager) -> Operation:
    return lambda key: manager.update_session(key, {"metadata": {"visits": next(_visits)}})


for _stage in Stage:
    if _stage is not Stage.COMPLETE:
        _register(_stage, "get", _get)
        _register(_stage, "update", _update)


def _migrating(bench: Bench) -> UnifiedSessionManager:
    return MigratingSessionManager(endpoint=_ENDPOINT, tiers=bench.all_tiers)


def _plain(bench: Bench) -> UnifiedSessionManager:
    return UnifiedSessionManager(endpoint=_ENDPOINT, tiers=bench.all_tiers)


def _both(bench: Bench, manager: type[UnifiedSessionManager] | None) -> Side:
    made, tiers = manager or UnifiedSessionManager, bench.all_tiers

    def get_and_update(key: str) -> object:
        found = made(endpoint=_ENDPOINT, tiers=tiers)
        found.get_session(key)
        return found.update_session(key, {"metadata": {"visits": next(_visits)}})

    return Side(
        start=lambda: get_and_update,
        keys=bench.ids,
        prepare=lambda keys: bench.fill(tiers, keys),
    )


def _shorter(bench: Bench, ours: Side, baseline: Side) -> Measured:
    """Compare with fewer calls: a write to both sides takes milliseconds."""
    operations = min(bench.plan.operations, 600)
    plan = replace(bench.plan, operations=operations, block=min(bench.plan.block, 100))
    return bench.compare(ours, baseline, plan=plan)


@contextmanager
def _shop(bench: Bench, stage: Stage) -> Iterator[list[str]]:
    """Have a legacy table and sessions on both sides, and every endpoint at a stage."""
    bench.database.execute(f"DROP TABLE IF EXISTS {TABLE.name}")
    bench.database.execute(TABLE.create)
    try:
        _to(bench, Stage.DUAL_WRITE)
        manager = _migrating(bench)
        number = min(bench.plan.operations, _STAGED)
        ids = [manager.create_session(**ORDER).id for _ in range(number)]
        _to(bench, stage)
        _check(bench, stage, ids[0])
        yield ids
        if stage is not Stage.COMPLETE and WriteMark.objects.exists():
            raise WrongTierError("Sessions are left marked: what was timed was not both sides.")
    finally:
        _to(bench, Stage.OFF)
        bench.database.execute(f"DROP TABLE {TABLE.name}")


def _to(bench: Bench, stage: Stage) -> None:
    for each in Endpoint:
        move(bench.all_tiers, each, stage, actor="bench", reason="measured")
    STAGES.refresh(bench.all_tiers)


def _check(bench: Bench, stage: Stage, session_id: str) -> None:
    if STAGES.view(bench.all_tiers).stage_of(_ENDPOINT, session_id) is not stage:
        raise WrongTierError(f"{session_id} is not at {stage}.")


def _pause(bench: Bench, ids: Sequence[str]) -> float:
    """Return the seconds from one read to the next at 30 % of what `off` can do.

    By the fastest tenth: what other programs take of the machine now makes no slower rate of it.
    """
    spent = timed(_migrating(bench).get_session, ids)
    return percentile(spent, 10) / 1e9 / _UTILISATION


def _paced_round(bench: Bench, ids: Sequence[str], pause: float) -> dict[Stage, list[float]]:
    """Return the µs of a round's reads at each stage, in blocks that take turns at being first."""
    spent: dict[Stage, list[float]] = {Stage.SHADOW: [], Stage.OFF: []}
    stages = list(spent)
    for begin in range(0, len(ids), bench.plan.block):
        for stage in stages:
            _to(bench, stage)
            found = _paced(bench, ids[begin : begin + bench.plan.block], pause)
            spent[stage] += found[len(found) // 5 :]  # the comparing comes later than the reads
            _settle()
        stages.reverse()
    return spent


def _paced(bench: Bench, ids: Sequence[str], pause: float) -> list[float]:
    """Return the µs of each read at a steady rate; the rest of the time belongs to the others."""
    manager, spent = _migrating(bench), []
    due = time.perf_counter()
    for key in ids:
        due += pause
        time.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        manager.get_session(key)
        spent.append((time.perf_counter() - began) * 1e6)
    return spent


def _settle() -> None:
    """Wait until all that was read in `shadow` has been compared, and nothing left out."""
    deadline = time.monotonic() + _SETTLED_SECONDS
    while (found := _counted())["agreed"] < found["reads"]:
        if time.monotonic() > deadline:
            raise WrongTierError(f"Not every read was compared: {found}.")
        time.sleep(0.02)


def _counted() -> dict[str, int]:
    flush()
    found = ParityMinute.objects.aggregate(**{name: Sum(name) for name in COUNTS})
    return {name: count or 0 for name, count in found.items()}


def _median(values: Any) -> float:
    found = sorted(values)
    return float(found[len(found) // 2])
