"""A charge whose outcome is not known yet: what is said of it, and when to look again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from funnel.payments.models import ChargeAttempt
from sessions_unified.clock import get_clock

State = ChargeAttempt.State

# In flight: a moment. Unknown: until the gateway has been asked. In review: until a person looks.
_REFRESH_SECONDS: Final = {State.CLAIMED: 2, State.UNKNOWN: 5, State.NEEDS_REVIEW: 60}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What the waiting page shows.

    Attributes:
        offer_id: the extra that is being paid; None for the order itself.
        refresh_seconds: when the page looks again by itself.
        is_in_review: a person at the shop has to look at it.
        is_in_flight: the gateway has not answered yet, so the shopper cannot leave the step.

    """

    offer_id: str | None
    refresh_seconds: int
    is_in_review: bool
    is_in_flight: bool


def waiting_at(session_id: str, step: str) -> Waiting | None:
    """Return the open charge of a step; None if there is none."""
    attempt = (
        ChargeAttempt.objects.filter(session_id=session_id, step=step)
        .filter(state__in=ChargeAttempt.OPEN)
        .order_by("pk")
        .last()
    )
    if attempt is None:
        return None
    state = State(attempt.state)
    if state == State.CLAIMED and attempt.lease_until <= get_clock().now():
        state = State.UNKNOWN  # its process died, or will learn the answer too late to wait for
    return Waiting(
        offer_id=attempt.offer_id,
        refresh_seconds=_REFRESH_SECONDS[state],
        is_in_review=state == State.NEEDS_REVIEW,
        is_in_flight=state == State.CLAIMED,
    )


# A session that waits without a charge of ours: an odd import, which only a person can settle.
UNEXPLAINED: Final = Waiting(
    offer_id=None,
    refresh_seconds=_REFRESH_SECONDS[State.NEEDS_REVIEW],
    is_in_review=True,
    is_in_flight=False,
)
