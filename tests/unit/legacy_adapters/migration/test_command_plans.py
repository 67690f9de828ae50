"""What a move does to which sessions, as `migration plan` says it."""

from __future__ import annotations

import pytest

from legacy_adapters.management.migrating.planning import plan_lines, slices
from legacy_adapters.migration.stages.names import Endpoint, Side, Stage
from legacy_adapters.migration.stages.view import Place, StageView

DETAIL = Endpoint.DETAIL


def view_at(stage: str, percent: float = 100, **others: Place) -> StageView:
    places = dict.fromkeys(Endpoint, Place(stage=Stage(stage), percent=percent))
    return StageView(places=places | {Endpoint(name): place for name, place in others.items()})


def parts(view: StageView, after: Place) -> list[tuple[float, str, str, str, str]]:
    return [
        (each.percent, *map(str, each.stages), *map(str, each.first))
        for each in slices(view, DETAIL, after)
    ]


def test_a_first_tenth_goes_ahead_and_the_rest_stays() -> None:
    found = parts(view_at("shadow"), Place(stage=Stage.LIVE, percent=10))

    assert found == [
        (10, "shadow", "live", "legacy", "legacy"),
        (90, "shadow", "shadow", "legacy", "legacy"),
    ]


def test_the_last_endpoint_at_live_turns_the_side_that_is_written_first() -> None:
    view = view_at("live", **{DETAIL: Place(stage=Stage.SHADOW)})

    assert parts(view, Place(stage=Stage.LIVE, percent=10)) == [
        (10, "shadow", "live", "legacy", "unified"),
        (90, "shadow", "shadow", "legacy", "legacy"),
    ]


def test_a_growing_percentage_moves_those_alone_that_join() -> None:
    view = view_at("live", **{DETAIL: Place(stage=Stage.LIVE, percent=10)})

    assert parts(view, Place(stage=Stage.LIVE)) == [
        (10, "live", "live", "unified", "unified"),
        (90, "shadow", "live", "legacy", "unified"),
    ]


@pytest.mark.parametrize("stage", [*Stage])
def test_every_session_is_in_one_part(stage: Stage) -> None:
    view = view_at("live", 33.33, **{DETAIL: Place(stage=Stage.SHADOW, percent=12.5)})

    found = slices(view, DETAIL, Place(stage=stage, percent=70))

    assert sum(each.percent for each in found) == pytest.approx(100)
    assert all(each.reads == (each.stages[0].reads, each.stages[1].reads) for each in found)


def test_it_says_who_answers_and_who_is_written_first() -> None:
    view = view_at("live", **{DETAIL: Place(stage=Stage.SHADOW)})

    assert list(plan_lines(view, DETAIL, Place(stage=Stage.LIVE, percent=10))) == [
        "session.detail: shadow for 100 % → live for 10 %",
        "  10 % of the sessions: shadow → live",
        "    reads: unified instead of legacy, compared with the other side beside it",
        "    written first: unified instead of legacy; then legacy",
        "  90 % of the sessions: shadow",
        "    nothing changes",
    ]


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        ("dual_write", "off", "legacy, as now; the other side is not kept up"),
        (
            "ramp_down",
            "complete",
            "unified, as now; the other side is not written by it",
        ),
        ("off", "dual_write", "legacy, as now; then unified"),
    ],
)
def test_what_is_not_written_is_said(before: str, after: str, written: str) -> None:
    lines = list(plan_lines(view_at(before), DETAIL, Place(stage=Stage(after))))

    assert lines[-1] == f"    written first: {written}"
    assert slices(view_at(before), DETAIL, Place(stage=Stage(after)))[0].first[1] in Side
