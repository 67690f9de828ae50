"""Upsells: one click, one charge of the stored card, and no way to pay for one twice."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from funnel.exceptions import (
    ChargeInFlightError,
    NoStoredCardError,
    OfferClosedError,
    UnknownOfferError,
)
from funnel.payments.gateway import get_gateway
from funnel.payments.models import ChargeAttempt
from funnel.payments.settling import settle
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.charges import (
    State,
    answer,
    attempts,
    audit,
    charges,
    data,
    paid,
    position,
    session_of,
    start,
    states,
)
from tests.managing import cleaner

if TYPE_CHECKING:
    from tests.gateways import ScriptedGateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

SERUM, BUNDLE, SMALL = "upsell-1-serum", "upsell-1-bundle", "upsell-1-serum-small"
CLUB, LAMP = "upsell-2-subscription", "upsell-2-lamp"


def test_accepting_charges_the_card_of_the_order(gateway: type[ScriptedGateway]) -> None:
    session_id = paid()

    reply = answer(session_id, SERUM)

    order, upsell = attempts(session_id)
    assert reply.status == 200
    assert (gateway.calls[1].vault_id, gateway.calls[1].payment_token) == (order.vault_id, None)
    assert (upsell.purpose, upsell.step, str(upsell.amount)) == (
        f"upsell:{SERUM}",
        "upsell-1",
        "29.9900",
    )
    assert position(session_id) == "processing/upsell-2"
    assert session_of(session_id).upsells.accepted == (SERUM,)
    audit(session_id)


def test_accepting_one_offer_ends_its_step_for_the_others() -> None:
    session_id = paid()
    answer(session_id, SERUM)

    with pytest.raises(OfferClosedError):
        answer(session_id, BUNDLE)

    assert len(charges(session_id)) == 2
    audit(session_id)


def test_declining_all_offers_of_a_step_leads_on() -> None:
    session_id = paid()

    first = answer(session_id, SERUM, "decline")
    second = answer(session_id, BUNDLE, "decline")
    here = position(session_id)
    third = answer(session_id, SMALL, "decline")

    assert data(first)["next"]["offers"] == [BUNDLE, SMALL]
    assert data(second)["next"]["offers"] == [SMALL]
    assert (here, position(session_id)) == ("processing/upsell-1", "processing/upsell-2")
    assert data(third)["next"]["offers"] == [CLUB, LAMP]
    assert len(charges(session_id)) == 1
    audit(session_id)


def test_the_last_step_completes_the_session() -> None:
    session_id = paid()
    answer(session_id, SERUM)

    answer(session_id, LAMP)

    assert position(session_id) == "completed/success"
    assert session_of(session_id).upsells.accepted == (SERUM, LAMP)
    assert [str(charge.amount) for charge in charges(session_id)] == [
        "25.0000",
        "29.9900",
        "29.9900",
    ]
    audit(session_id)


def test_a_second_acceptance_of_an_offer_answers_with_the_session_and_charges_nothing() -> None:
    session_id = paid()
    answer(session_id, SERUM)

    again = answer(session_id, SERUM)
    declined = answer(session_id, SERUM, "decline")

    assert again.status == declined.status == 200
    assert data(declined)["session"]["upsells"]["accepted"] == [SERUM]
    assert len(charges(session_id)) == 2
    audit(session_id)


@pytest.mark.parametrize("decision", ["accept", "decline"])
def test_an_offer_of_a_later_step_is_closed(decision: str) -> None:
    unpaid, session_id = start(), paid()

    with pytest.raises(OfferClosedError):
        answer(unpaid, SERUM, decision)
    with pytest.raises(OfferClosedError):
        answer(session_id, LAMP, decision)

    assert position(session_id) == "processing/upsell-1"


def test_an_offer_of_a_passed_step_cannot_be_accepted_and_declining_it_changes_nothing() -> None:
    session_id = paid()
    for offer in (SERUM, BUNDLE, SMALL):
        answer(session_id, offer, "decline")
    before = session_of(session_id)

    with pytest.raises(OfferClosedError):
        answer(session_id, SERUM)
    answer(session_id, SERUM, "decline")

    assert session_of(session_id) == before
    assert len(charges(session_id)) == 1


def test_a_declined_offer_cannot_be_accepted_after_all() -> None:
    session_id = paid()
    answer(session_id, SERUM, "decline")

    with pytest.raises(OfferClosedError):
        answer(session_id, SERUM)


def test_declining_twice_is_one_event() -> None:
    session_id = paid()
    answer(session_id, SERUM, "decline")

    answer(session_id, SERUM, "decline")

    kinds = SessionEvent.objects.filter(session_id=session_id).values_list("kind", flat=True)
    assert session_of(session_id).upsells.declined == (SERUM,)
    assert list(kinds).count("upsell_declined") <= 2


def test_an_unknown_offer_is_refused_before_anything_is_looked_up() -> None:
    with pytest.raises(UnknownOfferError):
        answer("ws_1_a", "upsell-9")


def test_a_failed_upsell_stays_as_a_record_and_can_be_tried_again_or_declined(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = paid("tok_approve_upsell_decline")

    first = answer(session_id, SERUM)
    second = answer(session_id, SERUM)
    other = answer(session_id, BUNDLE)

    assert [each.status for each in (first, second, other)] == [402] * 3
    assert data(first)["code"] == "payment_declined"
    assert data(first)["next"]["offers"] == [SERUM, BUNDLE]
    assert states(session_id) == [State.SUCCEEDED, *[State.DECLINED] * 3]
    assert position(session_id) == "processing/upsell-1"
    assert session_of(session_id).upsells.accepted == ()
    for offer in (SERUM, BUNDLE, SMALL):
        answer(session_id, offer, "decline")
    assert position(session_id) == "processing/upsell-2"
    audit(session_id)


def test_a_shopper_may_leave_a_step_whose_charge_is_unknown() -> None:
    declining, moving = (paid("tok_approve_upsell_timeout_charged") for _ in range(2))
    for session_id in (declining, moving):
        assert answer(session_id, SERUM).status == 202
        with pytest.raises(ChargeInFlightError):
            answer(session_id, SERUM)
        with pytest.raises(ChargeInFlightError):
            answer(session_id, BUNDLE)

    for offer in (SERUM, BUNDLE, SMALL):
        answer(declining, offer, "decline")
    get_manager().update_session(moving, {"current_step": "upsell-2"})

    for session_id in (declining, moving):
        assert position(session_id) == "processing/upsell-2"
        audit(session_id)


def test_a_step_whose_charge_is_in_flight_is_not_declined(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = paid()
    refused: list[bool] = []

    def meanwhile(sale: object) -> None:
        for offer in (SERUM, BUNDLE):
            with pytest.raises(ChargeInFlightError):
                answer(session_id, offer, "decline")
            refused.append(True)

    gateway.meanwhile = meanwhile
    answer(session_id, SERUM)

    assert refused == [True, True]
    audit(session_id)


def test_a_shopper_may_finish_while_an_upsell_is_unknown_and_the_receipt_stays_held() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    answer(session_id, SERUM)
    manager = get_manager()
    manager.update_session(session_id, {"current_step": "upsell-2"})
    manager.update_session(session_id, {"status": "completed", "current_step": "success"})

    assert position(session_id) == "completed/success"
    assert UnifiedSession.objects.get(pk=session_id).holds == 1
    audit(session_id)


def idle(session_id: str) -> None:
    """Let the session's time be over, as half an hour without a sign of the shopper does."""
    past = get_clock().now() - timedelta(minutes=1)
    UnifiedSession.objects.filter(pk=session_id).update(expires_at=past, last_seen_at=None)


def test_a_paid_order_that_nobody_goes_on_with_is_finished_by_itself() -> None:
    session_id = paid()
    answer(session_id, SERUM, "decline")
    idle(session_id)

    finished = cleaner(get_tiers()).settle().done

    assert finished == 1
    assert position(session_id) == "completed/success"
    assert session_of(session_id).upsells.accepted == ()
    with pytest.raises(OfferClosedError):
        answer(session_id, BUNDLE)
    audit(session_id)


def test_an_order_whose_extra_is_in_doubt_is_finished_only_when_it_is_settled() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    answer(session_id, SERUM)
    idle(session_id)

    early = cleaner(get_tiers()).settle().done
    attempt = attempts(session_id)[-1]
    receipt = get_gateway().query(attempt.gateway_order_id)
    assert receipt is not None
    for _ in range(2):
        settle(get_manager(), attempt.pk, receipt)
    idle(session_id)
    late = cleaner(get_tiers()).settle().done

    assert (early, late) == (0, 1)
    assert position(session_id) == "completed/success"
    assert session_of(session_id).upsells.accepted == (SERUM,)
    audit(session_id)


def test_an_order_without_a_stored_card_takes_no_upsells() -> None:
    session_id = paid()
    ChargeAttempt.objects.update(vault_id=None)

    with pytest.raises(NoStoredCardError):
        answer(session_id, SERUM)

    assert states(session_id) == [State.SUCCEEDED]


def test_the_card_is_taken_from_the_attempt_not_from_the_sessions_copy(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = paid()
    UnifiedSession.objects.filter(pk=session_id).update(vault_id="someone-elses")

    answer(session_id, SERUM)

    assert gateway.calls[1].vault_id == attempts(session_id)[0].vault_id
