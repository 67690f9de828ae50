"""The flow's table and its rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_unified.exceptions import InvalidTransitionError
from sessions_unified.flow import STATUSES, FlowTable, Position, default_moves

FLOW = FlowTable(default_moves())
STEPS = (*FLOW.steps, "upsell-3")
positions = st.builds(Position, st.sampled_from(STATUSES), st.sampled_from(STEPS))


def test_the_table_is_the_funnel() -> None:
    assert FLOW.steps == ("checkout", "processing", "upsell-1", "upsell-2", "success")
    assert FLOW.start == Position("pending", "checkout")
    assert FLOW.end == Position("completed", "success")


@given(before=positions, after=positions)
def test_a_move_is_legal_only_in_the_table_or_as_a_repeat_or_forward_from_outside(
    before: Position, after: Position
) -> None:
    in_table = any(move.before == before and move.after == after for move in FLOW.moves)
    is_outside = before not in FLOW.positions
    is_forward = FLOW.rank(after.step) > FLOW.rank(before.step) and after in FLOW.positions
    is_over = before.status in {"completed", "expired"}
    legal = before == after or in_table or (is_outside and is_forward and not is_over)

    if legal:
        FLOW.check(before, after)
    else:
        with pytest.raises(InvalidTransitionError):
            FLOW.check(before, after)


@given(before=positions, after=positions)
def test_no_client_makes_a_move_that_follows_from_a_charge(
    before: Position, after: Position
) -> None:
    for move in FLOW.moves:
        if (move.before, move.after) == (before, after) and not move.by_client:
            with pytest.raises(InvalidTransitionError):
                FLOW.check(before, after, by_client=True)


@given(start=positions, wishes=st.lists(positions, max_size=20))
def test_no_walk_leads_back_out_of_success_or_around_payment(
    start: Position, wishes: list[Position]
) -> None:
    at = start
    for wish in wishes:
        try:
            FLOW.check(at, wish)
        except InvalidTransitionError:
            continue
        if at.status == "completed":
            assert wish == at
        if at == FLOW.start:
            assert wish in {at, Position("processing", "processing")}
        at = wish


def test_a_refusal_says_what_is_legal() -> None:
    with pytest.raises(InvalidTransitionError, match="can go to: processing/processing"):
        FLOW.check(Position("pending", "checkout"), Position("completed", "success"))


def test_an_unknown_step_is_refused_by_name() -> None:
    with pytest.raises(InvalidTransitionError, match="no step 'upsell-9'"):
        FLOW.position_at("upsell-9")
