"""What was measured: the table, ``build/bench.json`` and the page in the documentation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.benchmarks.measuring import Measured
    from tests.benchmarks.rows import Row

HEAD: Final = ("name", "ours p50", "p99", "baseline p50", "ratio", "target", "ok", "baseline")
BEGIN: Final = "<!-- measured: written by python -m tests.benchmarks --write-docs -->\n"
END: Final = "<!-- end measured -->"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row of ``build/bench.json``; times in µs a call (a row, for rates)."""

    name: str
    p50_us: float
    p99_us: float
    baseline: str
    baseline_p50_us: float
    ratio: float
    target: float | None
    ok: bool


def result(row: Row, measured: Measured) -> Result:
    """Judge what a row measured."""
    ratio = measured.p50_us / measured.baseline_p50_us
    return Result(
        name=row.name,
        p50_us=round(measured.p50_us, 3),
        p99_us=round(measured.p99_us, 3),
        baseline=row.baseline,
        baseline_p50_us=round(measured.baseline_p50_us, 3),
        ratio=round(ratio, 4),
        target=row.target,
        ok=row.target is None or ratio <= row.target,
    )


def cells(each: Result) -> tuple[str, ...]:
    """Return a result as the table shows it."""
    return (
        each.name,
        duration(each.p50_us),
        duration(each.p99_us),
        duration(each.baseline_p50_us),
        f"{each.ratio:.3g}",
        "-" if each.target is None else f"{each.target:g}",
        _verdict(each),
        each.baseline,
    )


def _verdict(each: Result) -> str:
    if each.target is None:
        return "-"
    return "yes" if each.ok else "NO"


def duration(microseconds: float) -> str:
    """Return a time with three digits, in the unit a person would choose."""
    if microseconds < 1000:
        return f"{microseconds:.3g} µs"
    return f"{microseconds / 1000:.3g} ms"


def line(parts: Iterable[str]) -> str:
    """Return a line of the table in the terminal."""
    name, *numbers, verdict, baseline = parts
    return f"{name:<24}" + "".join(f"{text:>14}" for text in numbers) + f"  {verdict:<4} {baseline}"


def read(path: Path) -> dict[str, Result]:
    """Return the results kept in ``path``, by name; none without the file."""
    if not path.exists():
        return {}
    return {each["name"]: Result(**each) for each in json.loads(path.read_text(encoding="utf-8"))}


def write(path: Path, new: Iterable[Result], *, order: Iterable[str]) -> None:
    """Keep the results, those of other rows of earlier runs too, in the order of the rows."""
    known = read(path) | {each.name: each for each in new}
    found = [asdict(known[name]) for name in order if name in known]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_machine(path: Path, machine: Mapping[str, str]) -> None:
    """Keep what was measured on, beside the results."""
    path.write_text(json.dumps(machine, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_machine(path: Path) -> dict[str, str]:
    """Return what `write_machine` kept."""
    facts: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def in_docs(text: str, found: Mapping[str, Result], machine: Mapping[str, Any]) -> str:
    """Return the page with its measured block written anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    facts = "".join(f"| {name} | {value} |\n" for name, value in machine.items())
    table = "".join(f"| {' | '.join(_marked(each))} |\n" for each in found.values())
    return (
        f"{head}{BEGIN}| Measured on | |\n| --- | --- |\n{facts}\n"
        f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}\n{table}{END}{tail}"
    )


def _marked(each: Result) -> tuple[str, ...]:
    name, *rest = cells(each)
    return (f"`{name}`", *rest)
