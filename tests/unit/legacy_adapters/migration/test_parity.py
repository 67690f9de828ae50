"""What comparisons come to: bounds, percentiles, and the notes of one process."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy_adapters.migration.parity import inbox as inboxes
from legacy_adapters.migration.parity import tallies
from legacy_adapters.migration.parity.comparing import Look
from legacy_adapters.migration.parity.histograms import added, label_of, percentile
from legacy_adapters.migration.parity.inbox import AT_ONCE, Inbox, Job
from legacy_adapters.migration.parity.summing import Parity, lower_bound
from legacy_adapters.migration.parity.tallies import Ledger, Outcome, Read, Where
from legacy_adapters.migration.stages.names import Stage

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
WHERE = Where("session.detail", Stage.LIVE, 1)
JOBS = [Job(WHERE, f"ws_{number}", 0.0) for number in range(AT_ONCE + 2)]
DIFFERS = Look(fields=("email",), evidence=(), legacy_seconds=0.001, unified_seconds=0.001)


# 0.975 one-sided is the usual two-sided 95 %, as tables have it
@pytest.mark.parametrize(
    ("agreed", "compared", "confidence", "wanted"),
    [
        (8, 10, 0.975, 0.4902),
        (10, 10, 0.975, 0.7225),
        (0, 10, 0.975, 0.0),
        (95, 100, 0.975, 0.8882),
        (1, 1, 0.95, 0.2699),
        (1000, 1000, 0.95, 0.9973),
        (9999, 10_000, 0.95, 0.99956),
    ],
)
def test_the_lower_bound_is_wilsons(
    agreed: int, compared: int, confidence: float, wanted: float
) -> None:
    assert lower_bound(agreed, compared, confidence) == pytest.approx(wanted, abs=5e-5)


def test_without_comparisons_there_is_no_bound() -> None:
    assert lower_bound(0, 0, 0.95) is None


@given(st.integers(1, 5_000), st.data())
def test_the_bound_is_below_the_part_and_grows_with_it(compared: int, data: Any) -> None:
    agreed = data.draw(st.integers(0, compared))

    found = lower_bound(agreed, compared, 0.95)

    assert found is not None
    assert 0 <= found <= agreed / compared
    if agreed < compared:
        more = lower_bound(agreed + 1, compared, 0.95)
        assert more is not None
        assert more > found
    surer = lower_bound(agreed, compared, 0.99)
    assert surer is not None
    assert surer <= found


@pytest.mark.parametrize(
    ("seconds", "label"), [(0, "1"), (0.001, "1"), (0.0011, "2"), (0.1, "100"), (6, "inf")]
)
def test_a_time_is_counted_under_its_upper_bound(seconds: float, label: str) -> None:
    assert label_of(seconds) == label


@pytest.mark.parametrize(
    ("histogram", "part", "wanted"),
    [
        ({}, 0.5, None),
        ({"1": 10}, 0.5, 0.5),
        ({"10": 50, "20": 50}, 0.5, 10),
        ({"10": 50, "20": 50}, 0.95, 19),
        ({"1": 94, "inf": 6}, 0.95, 5000),
    ],
)
def test_a_percentile_lies_within_its_bucket(
    histogram: dict[str, int], part: float, wanted: float | None
) -> None:
    assert percentile(histogram, part) == (wanted if wanted is None else pytest.approx(wanted))


def test_histograms_are_added() -> None:
    assert added({"1": 2, "5": 1}, {"1": 3}) == {"1": 5, "5": 1}


def test_parity_tells_percentiles_by_side() -> None:
    found = Parity(legacy_ms={"10": 100}, unified_ms={})

    assert found.p50 == {"legacy": 7.5, "unified": None}
    assert found.p95 == {"legacy": pytest.approx(9.75), "unified": None}
    assert found.to_json()["lower_bound"] is None


def test_notes_are_taken_once_and_given_back_whole() -> None:
    ledger = Ledger()
    ledger.reads.append(Read(WHERE, 0.001, failed=False))
    ledger.outcomes.append(Outcome(WHERE, "confirmed", "ws_1", DIFFERS))

    taken = ledger.take(NOW)
    assert not ledger.take(NOW)
    ledger.give_back(taken)
    ledger.outcomes.append(Outcome(WHERE, "confirmed", "ws_1", DIFFERS))
    again = ledger.take(NOW)

    ((_, minute),) = again.tallies
    (tally,) = again.tallies.values()
    assert minute == NOW.replace(second=0)
    assert (tally.counts["reads"], tally.counts["confirmed"]) == (1, 2)
    assert tally.fields == {"email": 2}
    (finding,) = again.findings.values()
    assert finding.times == 2


def test_what_waits_for_a_database_that_is_down_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "_MOST_ROWS", 3)
    monkeypatch.setattr(tallies, "MOST_FINDINGS", 2)
    ledger = Ledger()
    for number in range(5):
        ledger.outcomes.append(Outcome(WHERE, "confirmed", f"ws_{number}", DIFFERS))
        ledger.give_back(ledger.take(NOW.replace(minute=number)))

    taken = ledger.take(NOW)

    assert [minute.minute for _, minute in taken.tallies] == [2, 3, 4]
    assert [session_id for session_id, _ in taken.findings] == ["ws_3", "ws_4"]


def test_what_comes_while_a_thread_gathers_is_taken_together() -> None:
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        for each in JOBS[1:3]:
            inbox.put(each)

    inbox = Inbox(wait=wait)
    inbox.put(JOBS[0])

    assert inbox.take() == JOBS[:3]
    assert waited == [inboxes._GATHER_SECONDS]
    assert not len(inbox)


def test_nobody_gathers_where_enough_wait_and_the_rest_is_left() -> None:
    waited: list[float] = []
    inbox = Inbox(wait=waited.append)
    for each in JOBS:
        inbox.put(each)

    assert inbox.take() == JOBS[:AT_ONCE]
    assert not waited
    assert len(inbox) == 2


def test_no_job_is_late_for_having_been_gathered(settings: SettingsWrapper) -> None:
    settings.MIGRATION = {"SHADOW_DEADLINE_SECONDS": 0.01}
    waited: list[float] = []
    inbox = Inbox(wait=waited.append)
    inbox.put(JOBS[0])

    inbox.take()

    assert waited == [0.005]


@pytest.mark.parametrize("waiting", [0, 1, AT_ONCE - 1, AT_ONCE])
def test_all_who_take_are_sent_home_once_it_is_over(waiting: int) -> None:
    inbox = Inbox(wait=lambda seconds: None)
    for each in JOBS[:waiting]:
        inbox.put(each)
    inbox.stop()

    if waiting == AT_ONCE:
        assert inbox.take() == JOBS[:AT_ONCE]
    for _ in range(3):
        assert inbox.take() == []
        assert len(inbox)  # the next one finds it too
