"""From records to figures, and from figures to a table and a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.soak.figures import DATABASE_RECOVERY_SECONDS, figures, summary, verdict
from tests.soak.ledger import Stored
from tests.soak.phases import Spell, Timeline
from tests.soak.record import CUT, Record
from tests.soak.report import BEGIN, END, PAGE, in_docs, text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.soak.figures import Figures

TIMELINE = Timeline([Spell(name="database hangs", area="database", began=100, ended=110)])
CREATED = Record(1, 0.1, 0, "create", "s", 201, 1)
LONG_AFTER = 111 + DATABASE_RECOVERY_SECONDS


def found_in(tmp_path: Path, *records: Record) -> Figures:
    lines = [record.line for record in records]
    (tmp_path / "0.records").write_text("".join(lines[::2]), encoding="ascii")
    (tmp_path / "1.records").write_text("".join(lines[1::2]), encoding="ascii")
    return figures(tmp_path, TIMELINE, bound=60)


def counts(found: Figures, stored: Stored) -> dict[str, int]:
    judged = verdict(found, {"s": stored}, counters=["s"], grown=[])
    return {name: each["count"] for name, each in judged.items()}


def test_a_run_in_which_all_went_well(tmp_path: Path) -> None:
    found = found_in(
        tmp_path,
        CREATED,
        Record(2, 0.1, 1, "read", "s", 200, 1),
        Record(3, 0.1, 2, "increment", "s", 200, 2),
        Record(4, 0.1, 3, "increment", "s", 412),
    )

    assert not any(counts(found, Stored(version=2, metadata={"n": 1}, seqs={1, 2})).values())
    assert found.requests == 4


def test_what_contradicts_the_database_is_a_lost_update(tmp_path: Path) -> None:
    found = found_in(tmp_path, CREATED, Record(3, 0.1, 2, "increment", "s", 200, 2))

    assert counts(found, Stored(version=1, seqs={1}))["lost_updates"] == 1


def test_a_deleted_row_that_lives_and_an_answer_too_late_are_revivals(tmp_path: Path) -> None:
    found = found_in(
        tmp_path,
        CREATED,
        Record(2, 0.1, 0, "delete", "s", 204),
        Record(70, 0.1, 1, "ghost", "s", 200, 1),
    )

    assert counts(found, Stored(version=1, seqs={1}))["revivals"] == 2


@pytest.mark.parametrize(
    ("asked", "is_explained"),
    [(50, False), (99.95, True), (105, True), (112, True), (LONG_AFTER, False)],
)
def test_only_the_database_explains_a_5xx(tmp_path: Path, asked: float, is_explained: bool) -> None:
    found = found_in(tmp_path, CREATED, Record(asked, 0.1, 0, "read", "s", 503))

    assert counts(found, Stored(version=1, seqs={1}))["failed_answers"] == (not is_explained)


@pytest.mark.parametrize(
    ("op", "status", "is_expected"),
    [
        ("read", 404, False),
        ("read", 401, False),
        ("read", 500, False),
        ("read", CUT, True),
        ("merge", 412, True),
        ("delete", 404, False),
    ],
)
def test_an_answer_that_nothing_explains_is_told(
    tmp_path: Path, op: str, status: int, is_expected: bool
) -> None:
    note = "1.0=1" if op == "merge" else "-"

    found = found_in(tmp_path, CREATED, Record(5, 0.1, 0, op, "s", status, note=note))

    assert bool(found.unexpected) != is_expected


def test_a_session_that_somebody_deletes_may_be_gone_for_others(tmp_path: Path) -> None:
    found = found_in(
        tmp_path,
        CREATED,
        Record(5, 0.1, 0, "read", "s", 404),
        Record(5, 0.2, 0, "delete", "s", 204),
    )

    assert not found.unexpected


@pytest.fixture
def run(tmp_path: Path) -> dict[str, Any]:
    found = found_in(tmp_path, CREATED, Record(105, 0.2, 0, "read", "s", 503))
    zero = {"count": 0, "cases": []}
    return {
        "machine": {"Date": "2026-11-01"},
        "load": "0.5",
        "faults": 1,
        "kinds": 1,
        **summary(found, TIMELINE, began=0, ended=200),
        "verdict": verdict(found, {"s": Stored(version=1, seqs={1})}, counters=[], grown=[])
        | {"disagreements": zero},
        "recovery": {"seconds": 3.0, "divergences": 0},
        "limits": {
            "recovery_seconds": 60,
            "nodes": 4,
            "l1_entries": 400,
            "grown_mb": 8,
            "relay_seconds": 120,
        },
        "memory": [
            {
                "name": "web 0",
                "seconds": 400,
                "first_mb": 100.0,
                "last_mb": 101.0,
                "most_mb": 102.0,
                "grown_mb": 0.5,
                "is_flat": True,
            }
        ],
        "most_mb": {"web 0": 102.0, "relay": 90.0},
        "most": {"l1_entries": 300.0, "l1_bytes": 1e6, "relay_lag_seconds": 2.0},
        "metrics": {},
    }


def test_the_table_says_what_holds_and_what_does_not(run: dict[str, Any]) -> None:
    run["verdict"]["revivals"] = {"count": 1, "cases": ["1 of: s came back"]}

    shown = text(run)

    assert "Lost updates" in shown
    assert "NO" in shown
    assert "s came back" in shown
    assert "relay (restarted)" in shown


def test_the_page_gets_its_block_and_keeps_the_rest(run: dict[str, Any]) -> None:
    page = f"# Soak\n\n{BEGIN}old\n{END}\n\nafter\n"

    written = in_docs(page, run)

    assert written.startswith(f"# Soak\n\n{BEGIN}| Measured on |")
    assert written.endswith(f"{END}\n\nafter\n")
    assert "old\n" not in written
    assert "| database hangs | 10 |" in written
    assert in_docs(written, run) == written


def test_the_documentation_has_the_place_for_it() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page.count(BEGIN) == page.count(END) == 1
