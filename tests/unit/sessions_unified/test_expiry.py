"""Idle, absolute and receipt limits."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sessions_unified import expiry
from tests.sessions import BORN, snapshot

minutes = st.integers(min_value=0, max_value=4 * 24 * 60)


def test_before_payment_a_session_lives_a_day_whatever_happens() -> None:
    late = BORN + timedelta(hours=23)

    assert expiry.deadline(
        status="pending", step="checkout", created_at=BORN, now=late
    ) == BORN + timedelta(hours=24)


def test_from_the_first_upsell_half_an_hour_of_idleness_ends_it() -> None:
    now = BORN + timedelta(hours=1)

    assert expiry.deadline(
        status="processing", step="upsell-1", created_at=BORN, now=now
    ) == now + timedelta(minutes=30)


def test_completing_starts_the_receipt_limit_once() -> None:
    now = BORN + timedelta(hours=2)
    done = snapshot(status="completed", current_step="success", expires_at=now)

    first = expiry.deadline_after_change(
        snapshot(status="processing", current_step="upsell-2"),
        status="completed",
        step="success",
        now=now,
    )
    again = expiry.deadline_after_change(
        done, status="completed", step="success", now=now + timedelta(hours=1)
    )

    assert first == now + timedelta(hours=24)
    assert again == done.expires_at


@given(seen=minutes, step=st.sampled_from(["checkout", "upsell-1", "upsell-2"]))
def test_r28_activity_never_passes_the_absolute_limit(seen: int, step: str) -> None:
    session = snapshot(current_step=step, status="processing")

    effective = expiry.effective_deadline(session, BORN + timedelta(minutes=seen))

    assert session.expires_at <= effective <= expiry.absolute_limit(BORN)


@given(at=minutes)
def test_a_change_at_the_same_step_never_shortens_the_session(at: int) -> None:
    session = snapshot(status="processing", current_step="upsell-1")

    after = expiry.deadline_after_change(
        session, status="processing", step="upsell-1", now=BORN + timedelta(minutes=at)
    )

    assert after >= session.expires_at


def test_a_deadline_set_by_staff_past_the_limit_survives_a_step() -> None:
    far = BORN + timedelta(days=3)
    session = snapshot(status="processing", current_step="upsell-1", expires_at=far)

    after = expiry.deadline_after_change(
        session, status="processing", step="upsell-2", now=BORN + timedelta(days=2)
    )

    assert after == far
