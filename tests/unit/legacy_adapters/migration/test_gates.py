"""Places and the moves between them, without a database: what is next, and what comes back too."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy_adapters.migration.gates.gate import Gate, GatesShutError
from legacy_adapters.migration.gates.order import behind, needed_of_all
from legacy_adapters.migration.stages.following import process_name
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.stages.view import Place, StageView
from legacy_adapters.migration.steering.going_back import _with_it
from legacy_adapters.migration.steering.planning import (
    MoveRefusedError,
    checked,
    next_of,
    order_of,
    target,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

PERCENTS = st.sampled_from([Decimal(1), Decimal("12.5"), Decimal(100)])


def at(stage: Stage, percent: float = 100) -> Place:
    return Place(stage=stage, percent=Decimal(str(percent)))


@st.composite
def places(draw: st.DrawFn) -> Place:
    stage = draw(st.sampled_from(Stage))
    return Place(stage=stage, percent=Decimal(100) if stage is Stage.OFF else draw(PERCENTS))


def is_in_order(view: StageView) -> bool:
    """Tell whether no endpoint is further than the others allow."""
    return all(not behind(view, needed_of_all(view.place(each).stage)) for each in Endpoint)


views = st.fixed_dictionaries({each: places() for each in Endpoint}).map(
    lambda found: StageView(places=found)
)


@given(view=views.filter(is_in_order), endpoint=st.sampled_from(Endpoint), after=places())
def test_after_a_move_back_no_endpoint_is_further_than_the_others_allow(
    view: StageView, endpoint: Endpoint, after: Place
) -> None:
    if order_of(after) >= order_of(view.place(endpoint)):
        return

    moved = _with_it(view, endpoint, after)

    assert is_in_order(StageView(places={**view.places, **moved, endpoint: after}))
    for each, place in moved.items():
        assert order_of(place) < order_of(view.place(each))


@given(view=views.filter(is_in_order), endpoint=st.sampled_from(Endpoint))
def test_a_step_back_that_the_others_allow_moves_nothing_else(
    view: StageView, endpoint: Endpoint
) -> None:
    after = Place(stage=view.place(endpoint).stage.before)
    needed = [needed_of_all(view.place(each).stage) for each in Endpoint if each is not endpoint]

    if all(after.of_all.rank >= each.rank for each in needed):
        assert _with_it(view, endpoint, after) == {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (at(Stage.OFF), at(Stage.DUAL_WRITE)),
        (at(Stage.LIVE, 10), at(Stage.LIVE)),
        (at(Stage.LIVE), at(Stage.RAMP_DOWN)),
        (at(Stage.COMPLETE, 99.99), at(Stage.COMPLETE)),
        (at(Stage.COMPLETE), None),
    ],
)
def test_what_is_next(before: Place, after: Place | None) -> None:
    assert next_of(before) == after


def test_a_target_is_the_next_place_unless_another_is_meant() -> None:
    before = at(Stage.SHADOW, 20)

    assert target(before) == at(Stage.SHADOW)
    assert target(before, percent=30) == at(Stage.SHADOW, 30)
    assert target(before, stage=Stage.LIVE) == at(Stage.LIVE)
    assert target(at(Stage.SHADOW), percent=30) == at(Stage.LIVE, 30)
    for stage, percent in ((Stage.SHADOW, 20), (Stage.OFF, 50), (None, 0)):
        with pytest.raises(MoveRefusedError):
            target(before, stage=stage, percent=percent)


def test_a_percentage_is_kept_in_hundredths() -> None:
    assert checked(Stage.LIVE, 33.333) == Decimal("33.33")
    assert checked(Stage.LIVE, None) == 100


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/srv/bin/gunicorn", "funnel.wsgi"], "gunicorn"),
        (["/srv/manage.py", "migration", "--reason", "x"], "migration"),
        (["/srv/manage.py", "--help"], "manage.py"),
        (["/lib/celery/__main__.py", "-A", "funnel"], "celery"),
        (["x" * 100], "x" * 64),
        ([], "python"),
    ],
)
def test_a_process_is_called_by_its_program(argv: Sequence[str], name: str) -> None:
    assert process_name(argv) == name


def test_a_refusal_says_which_gate_and_why() -> None:
    shut = Gate(name="marks", is_open=False, reason="3 sessions wait.", figure="3", needs="none")

    assert "[marks] 3 sessions wait." in str(GatesShutError([shut]))
    assert shut.to_json() == {
        "name": "marks",
        "open": False,
        "reason": "3 sessions wait.",
        "figure": "3",
        "needs": "none",
    }
