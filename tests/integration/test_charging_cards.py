"""Another card for an extra: charged once, kept in the vault, used by the offers that follow."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from funnel.exceptions import (
    ChargeInFlightError,
    IdempotencyKeyReusedError,
    NoStoredCardError,
    OfferClosedError,
)
from funnel.payments.cards import stored_card
from funnel.payments.gateway import get_gateway
from funnel.payments.models import ChargeAttempt
from funnel.payments.settling import settle
from funnel.upsell import process_upsell
from sessions_unified import get_manager
from sessions_unified.models import UnifiedSession
from tests.charges import (
    State,
    answer,
    attempts,
    audit,
    charges,
    paid,
    position,
    session_of,
    start,
    states,
)

if TYPE_CHECKING:
    from funnel.payments.idempotency import Reply
    from tests.gateways import ScriptedGateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

SERUM, BUNDLE, LAMP = "upsell-1-serum", "upsell-1-bundle", "upsell-2-lamp"
_keys = itertools.count(1)


def accept(session_id: str, offer: str, card: str, *, key: str | None = None) -> Reply:
    return process_upsell(
        get_manager(),
        session_id,
        key=key or f"card-{next(_keys)}",
        offer_id=offer,
        decision="accept",
        payment_token=card,
    )


def test_a_failed_upsell_is_paid_with_another_card_that_the_next_one_uses_too(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = paid("tok_approve_upsell_decline")
    answer(session_id, SERUM)

    taken = accept(session_id, SERUM, "tok_approve")
    answer(session_id, LAMP)

    order, _, serum, lamp = attempts(session_id)
    assert taken.status == 200
    assert gateway.calls[2].payment_token == "tok_approve"
    assert gateway.calls[2].email == "ana@example.org"
    assert gateway.calls[2].vault_id == serum.vault_id
    assert order.vault_id != serum.vault_id == lamp.vault_id
    assert gateway.calls[3].payment_token is None
    assert stored_card(session_id) == serum.vault_id
    assert session_of(session_id).vault_id == serum.vault_id
    assert states(session_id) == ["succeeded", "declined", "succeeded", "succeeded"]
    audit(session_id)


def test_another_card_that_is_declined_changes_nothing_on_file() -> None:
    session_id = paid()
    before = stored_card(session_id)

    refused = accept(session_id, SERUM, "tok_decline")

    assert refused.status == 402
    assert stored_card(session_id) == before == session_of(session_id).vault_id
    assert answer(session_id, SERUM).status == 200
    audit(session_id)


def test_another_card_whose_answer_is_lost_is_known_all_the_same() -> None:
    session_id = paid("tok_approve_upsell_decline")
    answer(session_id, SERUM)

    lost = accept(session_id, SERUM, "tok_timeout_charged")
    with pytest.raises(ChargeInFlightError):
        accept(session_id, SERUM, "tok_approve")
    attempt = attempts(session_id)[-1]
    receipt = get_gateway().query(attempt.gateway_order_id)
    assert receipt is not None
    settle(get_manager(), attempt.pk, receipt)

    assert lost.status == 202
    assert stored_card(session_id) == attempt.vault_id
    assert position(session_id) == "processing/upsell-2"
    assert len(charges(session_id)) == 2
    audit(session_id)


def test_an_order_without_a_stored_card_takes_an_upsell_with_one() -> None:
    session_id = paid()
    ChargeAttempt.objects.update(vault_id=None)
    UnifiedSession.objects.update(vault_id=None)

    with pytest.raises(NoStoredCardError, match="payment token"):
        answer(session_id, SERUM)
    accept(session_id, SERUM, "tok_approve")
    answer(session_id, LAMP)

    assert states(session_id) == [State.SUCCEEDED] * 3
    assert position(session_id) == "completed/success"


def test_an_order_that_is_not_paid_takes_no_upsell_whatever_the_card() -> None:
    session_id = start()
    UnifiedSession.objects.filter(pk=session_id).update(current_step="upsell-1")

    with pytest.raises(OfferClosedError):
        accept(session_id, SERUM, "tok_approve")
    with pytest.raises(NoStoredCardError):
        answer(session_id, SERUM)

    assert states(session_id) == []


def test_an_order_that_was_refunded_takes_no_upsell_whatever_the_card() -> None:
    session_id = paid()
    ChargeAttempt.objects.update(state=State.REFUNDED)

    with pytest.raises(OfferClosedError):
        accept(session_id, SERUM, "tok_approve")
    with pytest.raises(NoStoredCardError):
        answer(session_id, SERUM)


def test_the_same_key_with_another_card_is_another_operation() -> None:
    session_id = paid()
    first = accept(session_id, SERUM, "tok_approve", key="k")

    again = accept(session_id, SERUM, "tok_approve", key="k")

    assert again.body == first.body
    with pytest.raises(IdempotencyKeyReusedError):
        accept(session_id, SERUM, "tok_decline", key="k")
    with pytest.raises(IdempotencyKeyReusedError):
        answer(session_id, SERUM, key="k")
    assert len(charges(session_id)) == 2


def test_an_extra_that_is_paid_is_not_paid_again_with_another_card() -> None:
    session_id = paid()
    answer(session_id, SERUM)

    again = accept(session_id, SERUM, "tok_approve")

    assert again.status == 200
    assert len(charges(session_id)) == 2
    audit(session_id)


def test_a_downsell_is_charged_after_what_it_follows_is_declined() -> None:
    session_id = paid()

    with pytest.raises(OfferClosedError):
        answer(session_id, "upsell-1-serum-small")
    answer(session_id, SERUM, "decline")
    reply = answer(session_id, "upsell-1-serum-small")

    assert reply.data["next"]["step"] == "upsell-2"
    assert str(charges(session_id)[1].amount) == "12.9900"
    assert session_of(session_id).upsells.accepted == ("upsell-1-serum-small",)
    audit(session_id)


def test_a_late_success_and_its_downsell_are_never_both_charged_unasked() -> None:
    session_id = paid("tok_approve_upsell_timeout_charged")
    answer(session_id, SERUM)
    answer(session_id, SERUM, "decline")

    with pytest.raises(ChargeInFlightError):
        answer(session_id, "upsell-1-serum-small")
    attempt = attempts(session_id)[-1]
    receipt = get_gateway().query(attempt.gateway_order_id)
    assert receipt is not None
    settle(get_manager(), attempt.pk, receipt)

    assert session_of(session_id).upsells.accepted == (SERUM,)
    assert position(session_id) == "processing/upsell-2"
    with pytest.raises(OfferClosedError):
        answer(session_id, "upsell-1-serum-small")
    audit(session_id)
