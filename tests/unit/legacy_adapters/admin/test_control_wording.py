"""The control room's figures: never better than they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from legacy_adapters.admin.control.bins import HOURS, window_to
from legacy_adapters.admin.control.board import cells_of
from legacy_adapters.admin.control.wording import duration_text, part_text, place_text
from legacy_adapters.migration.stages.names import Stage

NOW = datetime(2026, 5, 1, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("part", "text"),
    [(1.0, "100 %"), (0.999999, "99.999 %"), (0.5, "50 %"), (0.0, "0 %"), (None, "–")],  # noqa: RUF001
)
def test_a_part_is_never_rounded_up(part: float | None, text: str) -> None:
    assert part_text(part) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0.44, "0.4 ms"), (9.96, "10 ms"), (12.4, "12 ms"), (1500.0, "1.5 s"), (None, "–")],  # noqa: RUF001
)
def test_durations_have_as_many_digits_as_they_mean(milliseconds: float, text: str) -> None:
    assert duration_text(milliseconds) == text


def test_a_place_names_its_part_unless_it_is_all() -> None:
    assert place_text(Stage.LIVE, Decimal("100.00")) == "live"
    assert place_text(Stage.DUAL_WRITE, Decimal("0.50")) == "dual write 0.5 %"


@pytest.mark.parametrize(
    ("stage", "percent", "kinds"),
    [
        ("off", 100, "here ahead ahead ahead ahead ahead"),
        ("live", 100, "past past past here ahead ahead"),
        ("live", 25, "past past rest here ahead ahead"),
        ("complete", 1, "past past past past rest here"),
    ],
)
def test_the_board_shows_who_is_where(stage: str, percent: float, kinds: str) -> None:
    assert [cell.kind for cell in cells_of(Stage(stage), percent)] == kinds.split()


@pytest.mark.parametrize("hours", HOURS)
def test_a_window_is_whole_and_every_moment_has_a_point(hours: int) -> None:
    window = window_to(NOW, hours)
    last = len(window.starts) - 1

    assert window.starts[0] == window.begin == window.end - timedelta(hours=hours)
    assert window.starts[-1] + window.step == window.end == NOW.replace(second=0)
    assert window.nearest(window.begin - timedelta(days=9)) == 0
    assert window.nearest(NOW) == last
    assert [window.nearest(start) for start in window.starts] == list(range(last + 1))
