"""One run: load throughout, faults by the schedule, and then what is left of it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sessions_unified.conf import Conf
from tests.soak import report
from tests.soak.database import read_stored
from tests.soak.faults import FAULTS
from tests.soak.figures import counted, figures, summary, verdict
from tests.soak.limits import L1_MAX_ENTRIES, RELAY_SECONDS
from tests.soak.memory import TOLERANCE_MB
from tests.soak.phases import Spell, Timeline
from tests.soak.recovery import RECOVERY_SECONDS, disagreements, recover
from tests.soak.rig import NODES
from tests.soak.schedule import LAST_PAUSE_SECONDS, plan
from tests.soak.watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.soak.rig import Rig
    from tests.soak.schedule import Step

THREADS: Final = 8
STOP_SECONDS: Final = 90
# Kept until the next run: the evidence.
RECORDS: Final = report.BUILD.parent / "soak"
LIMITS: Final = {
    "recovery_seconds": RECOVERY_SECONDS,
    "nodes": NODES,
    "l1_entries": NODES * L1_MAX_ENTRIES,
    "grown_mb": TOLERANCE_MB,
    "relay_seconds": RELAY_SECONDS,
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """How long, and by which seed."""

    seconds: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Happened:
    """What was broken when, by the monotonic clock."""

    began: float
    ended: float
    spells: list[Spell]


def soak(rig: Rig, run: Run, say: Callable[[str], None]) -> dict[str, Any]:
    """Run it all and return the figures."""
    shutil.rmtree(RECORDS, ignore_errors=True)
    RECORDS.mkdir(parents=True)
    load = f"{os.getloadavg()[0]:.1f}"
    with shopping(rig, RECORDS, run.seed), Watcher(rig) as watcher:
        happened = _break(rig, run, say)
    say("The load has stopped; auditing.")
    recovery = recover(rig)
    watcher.scrape()
    return {
        "machine": report.machine(),
        "load": load,
        "seed": run.seed,
        "faults": len(happened.spells),
        "kinds": len({each.name for each in happened.spells}),
        **_judged(rig, happened, watcher),
        "recovery": asdict(recovery) | {"divergences": recovery.report["remaining"]},
        "limits": LIMITS,
        "most_mb": watcher.memory.most(),
        "most": watcher.most,
        "metrics": watcher.last,
    }


def _break(rig: Rig, run: Run, say: Callable[[str], None]) -> Happened:
    kinds = {name: fault.seconds for name, fault in FAULTS.items()}
    chooser = random.Random(run.seed)
    began = time.monotonic()
    spells = []
    for step in plan(kinds, seconds=run.seconds, seed=run.seed):
        spells.append(_spell(rig, step, chooser))
        say(f"{step.name}: {spells[-1].ended - spells[-1].began:.1f} s")
    time.sleep(max(LAST_PAUSE_SECONDS, began + run.seconds - time.monotonic()))
    return Happened(began=began, ended=time.monotonic(), spells=spells)


def _spell(rig: Rig, step: Step, chooser: random.Random) -> Spell:
    time.sleep(step.pause)
    fault = FAULTS[step.name]
    began = time.monotonic()
    with fault.inject(rig, chooser):
        time.sleep(step.seconds)
    return Spell(name=step.name, area=fault.area, began=began, ended=time.monotonic())


def _judged(rig: Rig, happened: Happened, watcher: Watcher) -> dict[str, Any]:
    shop = json.loads((RECORDS / "shop.json").read_text(encoding="ascii"))
    stored = read_stored(rig.postgres.url)
    apart = disagreements(rig, stored, shop["cookies"])
    began, ended = happened.began, happened.ended
    timeline = Timeline(happened.spells)
    found = figures(RECORDS, timeline, bound=Conf.STALENESS_BOUND_SECONDS)
    (RECORDS / "memory.json").write_text(json.dumps(watcher.memory.samples()), encoding="ascii")
    grown = watcher.memory.growth(began=began + (ended - began) / 3, ended=ended)
    return {
        **summary(found, timeline, began=began, ended=ended),
        "verdict": verdict(found, stored, counters=shop["counters"], grown=grown)
        | {"disagreements": counted(apart)},
        "memory": [asdict(each) | {"is_flat": each.is_flat} for each in grown],
    }


@contextmanager
def shopping(rig: Rig, records: Path, seed: int) -> Iterator[None]:
    """Run the load generator; it ends with its input, and then writes down what it owns."""
    options = {
        "bases": [site.base for site in rig.sites],
        "threads": THREADS,
        "seed": seed,
        "directory": str(records),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.load", json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline().strip() == b"shopping"
            yield
            process.stdin.close()
            assert process.wait(STOP_SECONDS) == 0, "the load generator failed"
        finally:
            process.kill()
