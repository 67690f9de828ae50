"""The parts of a verification that need no database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy_adapters.testing import InMemoryAdapter
from legacy_adapters.verifying import Finding, Kind, Report, Scope, advice, report_lines
from legacy_adapters.verifying.gone import Ledger
from legacy_adapters.verifying.sampling import sample
from legacy_adapters.verifying.waiting import Waiting
from tests.legacy import row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from legacy_adapters.base import Batch

IDS = st.sets(st.text(min_size=1, max_size=8), max_size=40)


class Shelf(InMemoryAdapter):
    """A store in memory that can be cut into parts, and counts what was read."""

    read = 0

    def boundaries(self, parts: int) -> tuple[str, ...]:
        keys = sorted(self.rows)
        places = {len(keys) * part // parts for part in range(1, parts)} - {0}
        return tuple(keys[place - 1] for place in sorted(places))

    def scan(
        self, after: str | None = None, *, until: str | None = None, **options: Any
    ) -> Iterator[Batch]:
        for batch in super().scan(after, **options):
            kept = tuple(each for each in batch.records if until is None or each.id <= until)
            self.read += len(kept)
            yield type(batch)(records=kept, cursor=batch.cursor)


def shelf(number: int) -> Shelf:
    ids = [f"ws_mwo5wwds_{place:06}" for place in range(number)]
    return Shelf(source="shelf", rows={each: row(id=each) for each in ids})


def drawn(adapter: Shelf, number: int, seed: int = 1) -> list[str]:
    found = sample(adapter, number, seed=seed)
    return [str(record.id) for records in found for record in records]


class TestLedger:
    @given(IDS)
    def test_the_same_ids_in_any_order_agree_everywhere(self, ids: set[str]) -> None:
        here, there = Ledger(), Ledger()
        here.add(sorted(ids))
        there.add(sorted(ids, reverse=True))

        assert all(here.agrees_on(there, each) for each in ids)

    @given(IDS, st.text(min_size=1))
    def test_one_id_too_many_is_seen_in_its_bucket(self, ids: set[str], extra: str) -> None:
        here, there = Ledger(), Ledger()
        here.add(ids - {extra})
        there.add(ids | {extra})

        assert not here.agrees_on(there, extra)

        there.remove([extra])

        assert here.agrees_on(there, extra)


class TestWaiting:
    @pytest.fixture
    def now(self) -> list[float]:
        return [100.0]

    def waiting(self, now: list[float], **options: Any) -> Waiting:
        def sleep(seconds: float) -> None:
            now[0] += seconds

        return Waiting(
            **{"seconds": 2.0, "size": 10, "sleep": sleep, "monotonic": lambda: now[0]} | options
        )

    def test_nobody_leaves_before_their_time(self, now: list[float]) -> None:
        waiting = self.waiting(now)
        waiting.add("a")
        now[0] += 1.9

        assert waiting.due() == []

        now[0] += 0.2

        assert waiting.due() == ["a"]
        assert waiting.due() == []

    def test_everything_waits_for_the_rest(self, now: list[float]) -> None:
        waiting = self.waiting(now)
        waiting.add("a")
        now[0] += 1
        waiting.add("b")

        assert waiting.due(everything=True) == ["a"]
        assert now[0] == 102
        assert waiting.due(everything=True) == ["b"]
        assert now[0] == 103

    def test_they_leave_in_batches(self, now: list[float]) -> None:
        waiting = self.waiting(now, size=2, seconds=0)
        for each in "abc":
            waiting.add(each)

        assert waiting.due() == ["a", "b"]
        assert waiting.due() == ["c"]

    def test_a_long_queue_is_not_let_grow(
        self, now: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("legacy_adapters.verifying.waiting._MOST", 3)
        waiting = self.waiting(now)
        for each in "abc":
            waiting.add(each)

        assert waiting.due() == ["a", "b", "c"]
        assert now[0] == 102


class TestSample:
    def test_it_reads_about_so_many_and_no_more(self) -> None:
        adapter = shelf(5_000)

        ids = drawn(adapter, 300)

        assert len(ids) == len(set(ids)) == 300
        assert adapter.read == 300

    def test_it_comes_from_all_over_the_store(self) -> None:
        ids = drawn(shelf(5_000), 300)

        tenths = {int(each[-6:]) // 500 for each in ids}
        assert tenths == set(range(10))

    def test_a_seed_draws_the_same_again_and_another_seed_others(self) -> None:
        adapter = shelf(5_000)

        assert drawn(adapter, 50, seed=7) == drawn(adapter, 50, seed=7)
        assert drawn(adapter, 50, seed=7) != drawn(adapter, 50, seed=8)

    @pytest.mark.parametrize("number", [1, 2, 10, 99, 100, 101, 250])
    def test_a_small_store_is_read_whole_and_nothing_twice(self, number: int) -> None:
        ids = drawn(shelf(number), 250)

        assert len(ids) == len(set(ids)) == number

    def test_uneven_cuts_read_nothing_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        adapter = shelf(500)
        neighbours = tuple(sorted(adapter.rows)[:50])
        monkeypatch.setattr(adapter, "boundaries", lambda _: neighbours)

        ids = drawn(adapter, 250)

        assert len(ids) == len(set(ids))

    def test_an_empty_store(self) -> None:
        assert drawn(shelf(0), 10) == []

    def test_one_record(self) -> None:
        assert len(drawn(shelf(5_000), 1)) == 1


class TestReport:
    def test_it_keeps_the_first_of_each_kind_and_counts_the_rest(self) -> None:
        report = Report(shown=2)
        for number in range(5):
            report.add(Finding(id=f"ws_1_{number}", kind=Kind.MISSING))
            report.add(Finding(id=f"ws_2_{number}", kind=Kind.AGREES))
        report.add(Finding(id="ws_3_0", kind=Kind.GONE))

        assert (report.read, report.disagreements) == (10, 6)
        assert [each.id for each in report.findings[Kind.MISSING]] == ["ws_1_0", "ws_1_1"]
        assert Kind.AGREES not in report.findings

    def test_json_has_every_kind_and_says_whether_they_agree(self) -> None:
        report = Report(shown=2)
        report.add(Finding(id=None, kind=Kind.UNREADABLE, reason="id is missing"))

        found = json.loads(json.dumps(report.as_json()))

        assert set(found) == {"read", "bothAgree", "findings", *map(str, Kind)}
        assert found["bothAgree"] is True
        assert found["unreadable"] == 1
        assert found["findings"] == [
            {
                "id": None,
                "kind": "unreadable",
                "fields": [],
                "evidence": [],
                "reason": "id is missing",
            }
        ]


class TestTelling:
    @staticmethod
    def lines(report: Report, scope: Scope | None = None) -> list[str]:
        found = report_lines(report, source="database", scope=scope or Scope())
        return [line.text for line in found]

    def test_nothing_to_compare(self) -> None:
        assert self.lines(Report(shown=1)) == ["Nothing to compare: database has no such records."]

    def test_numbers_stand_in_one_column(self) -> None:
        report = Report(shown=1)
        for _ in range(1_200):
            report.add(Finding(id="ws_1_a", kind=Kind.AGREES))
        report.add(Finding(id="ws_1_b", kind=Kind.MISSING))

        assert self.lines(report)[:3] == [
            "Compared 1,201 records of database:",
            "  1,200 say the same",
            "      1 missing here",
        ]

    def test_a_difference_says_both_sides_in_one_line(self) -> None:
        evidence = (
            {"field": "amount", "unified": "12.50", "legacy": {"database": "22.5"}},
            {"field": "customer", "unified": [], "legacy": {"database": ["city", "zip"]}},
            {
                "field": "upsells",
                "unified": {"accepted": ["a"], "declined": []},
                "legacy": {"database": {"accepted": ["a"], "declined": ["b", "c"]}},
            },
            {
                "field": "products",
                "unified": [{"id": "SOIL", "quantity": 2, "price": None}],
                "legacy": {"database": []},
            },
            {"field": "email", "unified": None, "legacy": {"database": "x\x1b[2J" + "y" * 80}},
        )
        report = Report(shown=1)
        report.add(Finding(id="ws_1_a", kind=Kind.DIFFERS, fields=("amount",), evidence=evidence))

        (line,) = [line for line in self.lines(report) if "ws_1_a" in line]

        assert line.startswith(
            "  ws_1_a: amount 12.50 → 22.5; customer - → city, zip; upsells.declined - → b, c; "
            "products SOIL 2 - → -"
        )
        assert line.endswith("; email - → x·[2J" + "y" * 54 + "…")

    def test_a_sample_says_what_it_cannot_know(self) -> None:
        report = Report(shown=1)
        report.add(Finding(id="ws_1_a", kind=Kind.AGREES))

        lines = self.lines(report, Scope(sample=1, seed=42))

        assert lines[0] == "Compared 1 records of database, a sample (--seed 42 draws it again):"
        assert lines[-1] == "What the old shop has deleted is found by a run over all records only."

    def test_advice_names_what_helps_each_kind(self) -> None:
        report = Report(shown=1)
        for kind in (Kind.MISSING, Kind.DIFFERS, Kind.GONE):
            report.add(Finding(id="ws_1_a", kind=kind))

        said = advice(report, source="old")

        assert said.startswith("3 disagree.\n")
        assert "backfill_sessions --source old" in said
        assert "inspect_session ID" in said
        assert "the old shop has deleted them" in said
