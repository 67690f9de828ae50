"""How far a backfill is, for the eye."""

from __future__ import annotations

from typing import Any

import pytest

from legacy_adapters.admin.progress import Progress


def progress(**fields: Any) -> Progress:
    given = {"read": 500, "total": 1000, "rate": 50.0, "is_running": True, "is_finished": False}
    return Progress(**(given | fields))


@pytest.mark.parametrize(
    ("fields", "percent"),
    [
        ({}, 50),
        ({"read": 0}, 0),
        ({"total": 0}, 0),
        ({"read": 1200}, 99),  # the total is an estimate
        ({"read": 800, "is_finished": True}, 100),
    ],
)
def test_percent(fields: dict[str, Any], percent: int) -> None:
    assert progress(**fields).percent == percent


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "less than a minute"),
        ({"total": 50_000}, "16 min"),
        ({"total": 500_000}, "2 h 46 min"),
        ({"read": 1200}, "less than a minute"),
        ({"is_running": False}, "–"),  # noqa: RUF001
        ({"rate": None}, "–"),  # noqa: RUF001
        ({"rate": 0.0}, "–"),  # noqa: RUF001
    ],
)
def test_time_left(fields: dict[str, Any], text: str) -> None:
    assert progress(**fields).left_text == text


def test_rate() -> None:
    assert progress(rate=1_200).rate_text == "1,200 a second"
    assert progress(rate=None).rate_text == "–"  # noqa: RUF001
