"""What `make bench` writes: ``build/bench.json``, the terminal's table, the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import results
from tests.benchmarks.measuring import Measured
from tests.benchmarks.rows import Row

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.results import Result

PAGE = f"# Performance\n\nIntro.\n\n{results.BEGIN}old\n{results.END}\n\nMore.\n"


def result(name: str = "l1_hit", *, ours: float = 0.9, target: float = 0.15) -> Result:
    row = Row(
        name=name, operation="get", baseline="locmem", target=target, run=lambda bench: measured
    )
    measured = Measured(p50_us=ours, p99_us=4.2, baseline_p50_us=6.0)
    return results.result(row, measured)


def test_the_file_is_a_list_in_the_agreed_format(tmp_path: Path) -> None:
    path = tmp_path / "build/bench.json"

    results.write(path, [result()], order=["l1_hit"])

    assert json.loads(path.read_text()) == [
        {
            "name": "l1_hit",
            "p50_us": 0.9,
            "p99_us": 4.2,
            "baseline": "locmem",
            "baseline_p50_us": 6.0,
            "ratio": 0.15,
            "target": 0.15,
            "ok": True,
        }
    ]


@pytest.mark.parametrize(("ours", "is_ok"), [(0.9, True), (0.91, False)])
def test_ok_is_a_ratio_within_the_target(ours: float, *, is_ok: bool) -> None:
    assert result(ours=ours).ok is is_ok


def test_rows_measured_again_replace_their_figures_and_leave_the_others(tmp_path: Path) -> None:
    path, order = tmp_path / "bench.json", ["l1_hit", "update"]
    results.write(path, [result("update"), result("l1_hit", ours=3)], order=order)

    results.write(path, [result("l1_hit", ours=0.6)], order=order)

    assert [(each.name, each.p50_us) for each in results.read(path).values()] == [
        ("l1_hit", 0.6),
        ("update", 0.9),
    ]


def test_a_row_that_is_no_more_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    results.write(path, [result("gone")], order=["gone"])

    results.write(path, [result("l1_hit")], order=["l1_hit"])

    assert list(results.read(path)) == ["l1_hit"]


def test_a_missed_target_stands_out() -> None:
    assert results.cells(result(ours=2))[6] == "NO"


@pytest.mark.parametrize(
    ("microseconds", "text"), [(0.8312, "0.831 µs"), (55.52, "55.5 µs"), (1190.0, "1.19 ms")]
)
def test_times_are_in_units_a_person_reads(microseconds: float, text: str) -> None:
    assert results.duration(microseconds) == text


def test_the_page_gets_the_table_and_keeps_the_rest() -> None:
    found = {each.name: each for each in (result(), result("update", ours=12))}

    page = results.in_docs(PAGE, found, {"Date": "2026-11-21"})

    assert page.startswith("# Performance\n\nIntro.\n\n")
    assert page.endswith(f"{results.END}\n\nMore.\n")
    assert "old" not in page
    assert "| Date | 2026-11-21 |" in page
    assert "| `l1_hit` | 0.9 µs |" in page
    assert results.in_docs(page, found, {"Date": "2026-11-21"}) == page
