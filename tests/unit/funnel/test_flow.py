"""What the shopper sees now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.catalog import OFFERS
from funnel.flow import START_AGAIN, is_over, next_for, open_offers, step_after
from sessions_unified.flow import STATUSES, FlowTable, default_moves
from tests.sessions import snapshot

STEPS = FlowTable(default_moves()).steps
some_offers = st.lists(st.sampled_from(sorted(OFFERS)), unique=True)


SERUM_AND_BUNDLE = ("upsell-1-serum", "upsell-1-bundle")
CLUB_AND_LAMP = ("upsell-2-subscription", "upsell-2-lamp")


@pytest.mark.parametrize(
    ("status", "step", "paid", "url", "offers"),
    [
        ("pending", "checkout", False, "/checkout", ()),
        ("processing", "processing", False, "/processing", ()),
        ("pending", "processing", False, "/processing", ()),
        ("failed", "processing", False, START_AGAIN, ()),
        ("processing", "upsell-1", True, "/upsell-1", SERUM_AND_BUNDLE),
        ("processing", "upsell-2", True, "/upsell-2", CLUB_AND_LAMP),
        ("completed", "success", True, "/success", ()),
        ("completed", "upsell-1", True, "/success", ()),
        ("failed", "upsell-1", True, "/upsell-1", SERUM_AND_BUNDLE),
        ("expired", "checkout", False, START_AGAIN, ()),
        ("expired", "upsell-1", False, START_AGAIN, ()),
        ("failed", "checkout", False, START_AGAIN, ()),
        ("pending", "upsell-1", False, START_AGAIN, SERUM_AND_BUNDLE),
        ("processing", "thank-you", True, START_AGAIN, ()),
        ("processing", "thank-you", False, "/processing", ()),
    ],
)
def test_each_position_has_its_page_and_offers(
    *, status: str, step: str, paid: bool, url: str, offers: tuple[str, ...]
) -> None:
    transaction = "t" if paid else None

    found = next_for(snapshot(status=status, current_step=step, transaction_id=transaction))

    assert (found.step, found.url, found.offers) == (step, url, offers)
    assert found.to_wire() == {"step": step, "url": url, "offers": list(offers)}


@given(
    status=st.sampled_from(STATUSES),
    step=st.sampled_from((*STEPS, "nowhere")),
    accepted=some_offers,
    declined=some_offers,
)
def test_an_offer_is_open_only_at_its_step_unanswered_and_with_none_of_its_step_taken(
    status: str, step: str, accepted: list[str], declined: list[str]
) -> None:
    session = snapshot(
        status=status,
        current_step=step,
        upsells={"accepted": accepted, "declined": declined},
    )
    here = {offer.id for offer in OFFERS.values() if offer.step == step}
    ended = status in {"completed", "expired"} or bool(here & set(accepted))

    found = {offer.id for offer in open_offers(session)}

    assert found == (set() if ended else here - set(declined))
    assert is_over(session) == (bool(here) and status not in {"completed", "expired"} and not found)


def test_the_steps_follow_each_other() -> None:
    assert step_after("processing") == {"status": "processing", "current_step": "upsell-1"}
    assert step_after("upsell-1") == {"status": "processing", "current_step": "upsell-2"}
    assert step_after("upsell-2") == {"status": "completed", "current_step": "success"}
