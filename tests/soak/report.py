"""The figures as people read them: in the terminal, and in docs/reference/soak.md."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build/soak.json"
PAGE: Final = ROOT / "docs/reference/soak.md"
BEGIN: Final = "<!-- measured: written by python -m tests.soak -->\n"
END: Final = "<!-- end measured -->"
NONE: Final = "-"

Rows = list[tuple[str, ...]]


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    return {
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "System": platform.platform(),
        "Python": platform.python_version(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return models[0] if models else platform.machine()


def tables(found: Mapping[str, Any]) -> Iterator[Rows]:
    """Yield each table of a run, its head first."""
    yield [("Measured on", ""), *found["machine"].items()]
    yield [("What must hold", "Found", "Holds"), *_verdict(found)]
    yield [("What was done", "Figure"), *_totals(found)]
    yield [
        (
            *("Phase", "s", "requests/s", "read p50", "p99", "write p50", "p99"),
            *("5xx: reads", "writes", "cut", "degraded"),
        ),
        *_phases(found["phases"]),
    ]
    yield [
        ("Fault of the database", "the last 503 after it was mended"),
        *((name, f"{seconds:.1f} s") for name, seconds in found["recoveries"].items()),
    ]
    yield [
        ("Process", "judged for", "first", "last", "most", "by its slope", "flat"),
        *_memory(found),
    ]


def _verdict(found: Mapping[str, Any]) -> Rows:
    judged = found["verdict"]
    zeros = {
        "Lost updates": "lost_updates",
        "Revivals": "revivals",
        "Answers that nothing explains": "unexpected_answers",
        "5xx without a fault of the database in the last 15 s": "failed_answers",
        "Sessions that a process answers differently from the database at the end": "disagreements",
    }
    rows: Rows = [
        (name, f"{judged[key]['count']:,}", _yes(not judged[key]["count"]))
        for name, key in zeros.items()
    ]
    ages, recovery, limits = found["ages"], found["recovery"], found["limits"]
    return [
        *rows,
        (
            f"No answer further behind than {ages['bound']:g} s",
            f"{ages['oldest']:.1f} s",
            _yes(ages["oldest"] <= ages["bound"]),
        ),
        (
            f"The auditor finds nothing within {limits['recovery_seconds']} s",
            f"{recovery['divergences']} divergences after {recovery['seconds']:.0f} s",
            _yes(not recovery["divergences"]),
        ),
        (
            f"The relay's place in the log never older than {limits['relay_seconds']} s",
            f"{found['most']['relay_lag_seconds']:.1f} s",
            _yes(found["most"]["relay_lag_seconds"] <= limits["relay_seconds"]),
        ),
        (
            f"L1 of {limits['nodes']} processes: at most {limits['l1_entries']:,} copies",
            f"{found['most']['l1_entries']:,.0f}, {found['most']['l1_bytes'] / 1e6:.1f} MB",
            _yes(found["most"]["l1_entries"] <= limits["l1_entries"]),
        ),
        (
            f"No process grows by more than {limits['grown_mb']:g} MB in the last two thirds",
            f"{judged['growing_processes']['count']}",
            _yes(not judged["growing_processes"]["count"]),
        ),
    ]


def _totals(found: Mapping[str, Any]) -> Rows:
    ages = found["ages"]
    metrics = found["metrics"]
    return [
        ("Requests", f"{found['requests']:,} in {found['seconds']:.0f} s"),
        ("Requests a second", f"{found['requests_per_second']:,}"),
        ("Faults", f"{found['faults']}, of {found['kinds']} kinds"),
        ("Acknowledged", _named(found["acknowledged"])),
        ("Outcome unknown (cut, or 503)", _named(found["unknown"])),
        ("Answers behind an acknowledged write", f"{ages['old']:,}"),
        ("The same, 10 s after every fault: the oldest", f"{ages['oldest_settled']:.3f} s"),
        (
            "Answers after an acknowledged deletion",
            f"{ages['after_delete']:,}, the latest {ages['latest_after_delete']:.1f} s after it",
        ),
        ("Copies that the relay ended", f"{metrics.get('cache_repairs_total', 0):,.0f}"),
        ("Touches that the worker wrote", f"{metrics.get('touches_flushed_total', 0):,.0f}"),
        ("L1 emptied", f"{metrics.get('invalidation_gaps_total', 0):,.0f} times"),
        ("Load average when it began", found["load"]),
    ]


def _phases(phases: Mapping[str, Mapping[str, Any]]) -> Rows:
    return [
        (
            name,
            f"{each['seconds']:.0f}",
            f"{each['per_second']:,}",
            *(
                f"{each[key]:,.0f} ms"
                for key in ("read_p50_ms", "read_p99_ms", "write_p50_ms", "write_p99_ms")
            ),
            f"{each['failed_reads']:,} of {each['reads']:,}",
            f"{each['failed_writes']:,} of {each['writes']:,}",
            f"{each['cut']:,}",
            _named(each["degraded"]) or NONE,
        )
        for name, each in phases.items()
    ]


def _memory(found: Mapping[str, Any]) -> Rows:
    judged: Rows = [
        (
            each["name"],
            f"{each['seconds']} s",
            f"{each['first_mb']:.0f} MB",
            f"{each['last_mb']:.0f} MB",
            f"{each['most_mb']:.0f} MB",
            f"{each['grown_mb']:+.1f} MB",
            _yes(each["is_flat"]),
        )
        for each in found["memory"]
    ]
    known = {each["name"] for each in found["memory"]}
    return judged + [
        (f"{name} (restarted)", NONE, NONE, NONE, f"{most:.0f} MB", NONE, NONE)
        for name, most in found["most_mb"].items()
        if name not in known
    ]


def _named(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items())


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


def text(found: Mapping[str, Any]) -> str:
    """Return the tables for a terminal, and the cases of whatever went wrong."""
    parts = ["\n".join(_aligned(rows)) for rows in tables(found)]
    for name, each in found["verdict"].items():
        parts += [f"{name}:\n  " + "\n  ".join(each["cases"])] if each["count"] else []
    return "\n\n".join(parts)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def in_docs(page: str, found: Mapping[str, Any]) -> str:
    """Return the page with its measured block written anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    written = "\n".join(_markdown(rows) for rows in tables(found))
    return f"{head}{BEGIN}{written}{END}{tail}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(found: Mapping[str, Any]) -> None:
    """Keep the figures in ``build/soak.json``."""
    BUILD.parent.mkdir(parents=True, exist_ok=True)
    BUILD.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
