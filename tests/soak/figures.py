"""From records, samples and the database to the figures of a run, and what must hold of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.soak.ages import Acknowledgements, Ages
from tests.soak.ledger import Ledger, Stored
from tests.soak.phases import Phase, Timeline
from tests.soak.record import CUT, read_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.soak.memory import Growth
    from tests.soak.record import Record

CASES: Final = 20
# Our own limit for reads and writes; promise R20 allows writes 30 s.
DATABASE_RECOVERY_SECONDS: Final = 15
# Operation → what may be answered; 503 may come with the database's faults.
EXPECTED: Final = {
    "create": {201, 503},
    "read": {200, 503},
    "ghost": {200, 404, 503},  # a 200 is judged by its age
    "increment": {200, 412, 503},
    "merge": {200, 412, 503},
    "extend": {200, 503},
    "validate": {200, 503},
    "delete": {204, 503},
}


@dataclass(kw_only=True)
class Figures:
    """All that was found.

    Attributes:
        unexpected: answers that nothing explains, a sentence each.
        failed: 5xx that no fault of the database explains, a sentence each.
        recoveries: fault of the database → how long after it the last 5xx came.

    """

    ledger: Ledger
    ages: Ages
    phases: dict[str, Phase] = field(default_factory=dict)
    requests: int = 0
    unexpected: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    recoveries: dict[str, float] = field(default_factory=dict)
    operations: Counter[str] = field(default_factory=Counter)


def figures(directory: Path, timeline: Timeline, *, bound: float) -> Figures:
    """Read the records, twice: an answer is judged by everything that was acknowledged."""
    known = Acknowledgements(read_all(directory))
    found = Figures(ledger=Ledger(), ages=Ages(bound=bound))
    for record in read_all(directory):
        found.ledger.add(record)
    for record in read_all(directory):
        found.requests += 1
        found.operations[record.op] += 1
        found.phases.setdefault(timeline.phase(record), Phase()).add(record)
        found.ages.add(record, known, timeline.mended_at)
        _judge(record, found, timeline)
    return found


def _judge(record: Record, found: Figures, timeline: Timeline) -> None:
    was_doomed = record.session in found.ledger.doomed
    allowed = EXPECTED[record.op] | {CUT} | ({404} if record.op == "read" and was_doomed else set())
    if record.status not in allowed:
        found.unexpected.append(f"{record.status} to {record.op} in {timeline.phase(record)}")
    if record.status >= 500:
        spell = timeline.last_of("database", record.done)
        after = math.inf if spell is None else max(0.0, record.asked - spell.ended)
        if spell is not None and after <= DATABASE_RECOVERY_SECONDS:
            found.recoveries[spell.name] = max(after, found.recoveries.get(spell.name, 0.0))
        else:
            phase = timeline.phase(record)
            found.failed.append(f"{record.status} to {record.op} of node {record.node} in {phase}")


def verdict(
    found: Figures, stored: Mapping[str, Stored], *, counters: Sequence[str], grown: list[Growth]
) -> dict[str, Any]:
    """Return each thing that must be zero, with the first cases of it."""
    contradictions = found.ledger.faults(stored, counters=counters)
    revived = [each for each in contradictions if each.startswith("revived")] + found.ages.revived
    lost = [each for each in contradictions if not each.startswith("revived")]
    return {
        "lost_updates": counted(lost),
        "revivals": counted(revived),
        "unexpected_answers": counted(found.unexpected),
        "failed_answers": counted(found.failed),
        "growing_processes": counted([f"{each.name} grew" for each in grown if not each.is_flat]),
    }


def counted(cases: Sequence[str]) -> dict[str, Any]:
    """Return how many, and the first, with equal ones put together."""
    shown = [f"{number} of: {case}" for case, number in Counter(cases).most_common(CASES)]
    return {"count": len(cases), "cases": shown}


def summary(found: Figures, timeline: Timeline, *, began: float, ended: float) -> dict[str, Any]:
    """Return the figures for ``build/soak.json``."""
    lasted = timeline.seconds(began=began, ended=ended)
    ages = asdict(found.ages)
    del ages["revived"]
    return {
        "seconds": round(ended - began, 1),
        "requests": found.requests,
        "requests_per_second": round(found.requests / (ended - began)),
        "operations": dict(found.operations),
        "acknowledged": dict(found.ledger.acknowledged),
        "unknown": dict(found.ledger.unknown),
        "recoveries": {name: round(seconds, 1) for name, seconds in found.recoveries.items()},
        "ages": {name: round(value, 3) for name, value in ages.items()},
        "phases": {
            name: found.phases[name].figures(lasted.get(name, 0.0))
            for name in lasted
            if name in found.phases
        },
    }
