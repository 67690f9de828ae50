"""Idempotency-Keys: the same key answers the same, byte for byte, for one operation only."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from funnel.checkout import process_checkout
from funnel.exceptions import (
    ChargeInFlightError,
    IdempotencyKeyError,
    IdempotencyKeyReusedError,
    OfferClosedError,
)
from funnel.payments import idempotency
from funnel.payments.models import IdempotencyRecord
from funnel.tasks import forget_idempotency_keys
from sessions_unified import get_manager
from tests.charges import State, answer, answers, audit, charges, paid, pay, start, states

if TYPE_CHECKING:
    from tests.gateways import ScriptedGateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

SERUM = "upsell-1-serum"


@pytest.mark.parametrize("card", ["tok_approve", "tok_decline", "tok_nonsense"])
def test_r23_a_key_replays_its_definite_answer_byte_for_byte(
    gateway: type[ScriptedGateway], card: str
) -> None:
    session_id = start()
    first = pay(session_id, card, key="k")
    get_manager().update_session(session_id, {"metadata": {"later": True}})

    again = pay(session_id, card, key="k")

    assert (again.status, again.body) == (first.status, first.body)
    assert len(gateway.calls) == 1
    audit(session_id)


def test_r23_an_old_answer_is_replayed_after_the_session_has_moved_on() -> None:
    session_id = start()
    declined = pay(session_id, "tok_decline", key="k")
    pay(session_id)
    taken = answer(session_id, SERUM, key="u")
    answer(session_id, "upsell-2-lamp")

    assert pay(session_id, "tok_decline", key="k").body == declined.body
    assert answer(session_id, SERUM, key="u").body == taken.body
    assert len(charges(session_id)) == 3
    audit(session_id)


def test_r23_a_key_with_another_body_is_refused_whatever_became_of_the_first() -> None:
    for card in ("tok_approve", "tok_decline", "tok_timeout_charged"):
        session_id = start()
        pay(session_id, card, key="k")
        with pytest.raises(IdempotencyKeyReusedError):
            pay(session_id, "tok_other", key="k")
        with pytest.raises(IdempotencyKeyReusedError):
            process_checkout(
                get_manager(),
                session_id,
                key="k",
                payment_token=card,
                customer={"firstName": "A", "lastName": "B"},
            )
        assert len(states(session_id)) == 1


def test_r23_a_key_of_the_checkout_is_no_key_of_an_upsell() -> None:
    session_id = start()
    pay(session_id, key="k")
    answer(session_id, SERUM, "decline", key="d")

    with pytest.raises(IdempotencyKeyReusedError):
        answer(session_id, SERUM, key="k")
    with pytest.raises(IdempotencyKeyReusedError):
        answer(session_id, SERUM, "accept", key="d")
    with pytest.raises(IdempotencyKeyReusedError):
        answer(session_id, "upsell-1-bundle", "decline", key="d")


def test_two_sessions_may_use_one_key() -> None:
    first, second = start(), start()

    assert pay(first, key="k").status == pay(second, key="k").status == 200
    assert len(charges(first)) == len(charges(second)) == 1


def test_r23_while_the_charge_is_in_flight_its_key_is_409(gateway: type[ScriptedGateway]) -> None:
    session_id = start()
    refused: list[str] = []

    def meanwhile(sale: object) -> None:
        for key in ("k", "other"):
            with pytest.raises(ChargeInFlightError):
                pay(session_id, key=key)
            refused.append(key)

    gateway.meanwhile = meanwhile
    pay(session_id, key="k")

    assert refused == ["k", "other"]
    assert len(gateway.calls) == 1
    audit(session_id)


def test_a_202_is_never_stored() -> None:
    session_id = start()

    pay(session_id, "tok_timeout_charged", key="k")
    pay(session_id, "tok_timeout_charged", key="k")

    assert answers(session_id) == {"k": None}


def test_a_decline_of_an_offer_is_replayed_too() -> None:
    session_id = paid()
    first = answer(session_id, SERUM, "decline", key="d")
    answer(session_id, "upsell-1-bundle")

    again = answer(session_id, SERUM, "decline", key="d")

    assert (again.status, again.body) == (200, first.body)


def test_a_refused_operation_leaves_its_key_free() -> None:
    session_id = start()
    with pytest.raises(OfferClosedError):
        answer(session_id, SERUM, key="k")

    assert answers(session_id) == {}
    assert pay(session_id, key="k").status == 200


def test_an_answer_is_forgotten_with_its_session_and_the_attempt_is_not() -> None:
    session_id = paid()
    manager = get_manager()
    manager.update_session(session_id, {"current_step": "upsell-2"})

    manager.delete_session(session_id)

    assert answers(session_id) == {}
    assert states(session_id) == [State.SUCCEEDED]


def test_an_old_key_is_forgotten_and_the_paid_order_still_is_not_charged_again(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = start()
    pay(session_id, key="k")
    for record in IdempotencyRecord.objects.all():
        record.created_at -= timedelta(days=2)
        record.save()

    forget_idempotency_keys()
    again = pay(session_id, key="k")

    assert answers(session_id) == {}
    assert again.status == 200
    assert len(gateway.calls) == 1


@pytest.mark.parametrize("key", [None, "", " ", "a b", "k" * 256, "ü", "a\n", "\x00", "\x7f"])
def test_a_key_is_1_to_255_visible_ascii_characters(key: str | None) -> None:
    with pytest.raises(IdempotencyKeyError):
        idempotency.check_key(key)


def test_the_order_of_a_bodys_fields_does_not_matter_everything_else_does() -> None:
    digest = idempotency.request_hash("checkout", {"a": {"x": 1, "y": 2}, "b": None})

    assert digest == idempotency.request_hash("checkout", {"b": None, "a": {"y": 2, "x": 1}})
    assert digest != idempotency.request_hash("upsell", {"a": {"x": 1, "y": 2}, "b": None})
    assert digest != idempotency.request_hash("checkout", {"a": {"x": "1", "y": 2}, "b": None})
    assert "tok_approve" not in idempotency.request_hash("checkout", {"t": "tok_approve"})
