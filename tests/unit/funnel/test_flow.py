"""What the shopper sees now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.catalog import OFFERS, bumps
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
    here = {offer.id for offer in OFFERS.values() if offer.step == step} - bumps().keys()
    waiting = {offer for offer in here if OFFERS[offer].follows not in {None, *declined}}
    ended = status in {"completed", "expired"} or bool(here & set(accepted))

    found = {offer.id for offer in open_offers(session)}

    assert found == (set() if ended else here - set(declined) - waiting)
    assert is_over(session) == (bool(here) and status not in {"completed", "expired"} and not found)


def test_a_downsell_opens_when_what_it_follows_is_declined_and_ends_the_step_in_its_turn() -> None:
    def offers(*declined: str, accepted: tuple[str, ...] = ()) -> tuple[str, ...]:
        upsells = {"accepted": accepted, "declined": declined}
        session = snapshot(status="processing", current_step="upsell-1", upsells=upsells)
        assert is_over(session) == (not open_offers(session))
        return next_for(session).offers

    small = "upsell-1-serum-small"

    assert offers() == SERUM_AND_BUNDLE
    assert offers("upsell-1-bundle") == ("upsell-1-serum",)
    assert offers("upsell-1-serum") == ("upsell-1-bundle", small)
    assert offers(*SERUM_AND_BUNDLE) == (small,)
    assert offers(*SERUM_AND_BUNDLE, small) == ()
    assert offers("upsell-1-serum", accepted=(small,)) == ()


def test_at_the_checkout_the_offers_are_the_bumps_that_the_order_lacks() -> None:
    def offers(*ids: str, **fields: object) -> tuple[str, ...]:
        products = [{"id": each, "quantity": 1} for each in ids]
        session = snapshot(
            **{"status": "pending", "current_step": "checkout", "amount": 25, **fields},
            products=products,
        )
        assert open_offers(session) == ()
        assert not is_over(session)
        return next_for(session).offers

    assert offers("SOIL") == ("bump-labels", "bump-mister")
    assert offers("SOIL", "bump-labels") == ("bump-mister",)
    assert offers("SOIL", "bump-labels", "bump-mister") == ()
    assert offers() == offers("bump-labels") == ()
    assert offers("SOIL", currency="EUR") == offers("SOIL", amount=None) == ()
    assert offers("SOIL", status="processing", current_step="processing") == ()


def test_the_steps_follow_each_other() -> None:
    assert step_after("processing") == {"status": "processing", "current_step": "upsell-1"}
    assert step_after("upsell-1") == {"status": "processing", "current_step": "upsell-2"}
    assert step_after("upsell-2") == {"status": "completed", "current_step": "success"}
