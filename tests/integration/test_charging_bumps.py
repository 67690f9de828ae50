"""Order bumps in the charge of the order: priced under the lock, one charge, kept on a decline."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from funnel.bumps import with_bumps
from funnel.catalog import OFFERS
from funnel.checkout import process_checkout
from funnel.exceptions import (
    IdempotencyKeyReusedError,
    NothingToChargeError,
    OrderChangedError,
    UnknownOfferError,
)
from sessions_unified import get_manager
from sessions_unified.exceptions import PricingError
from sessions_unified.models import SessionEvent
from tests.charges import answer, attempts, audit, charges, position, session_of, start, states

if TYPE_CHECKING:
    from collections.abc import Sequence

    from funnel.payments.idempotency import Reply
    from tests.gateways import ScriptedGateway

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

LABELS, MISTER = "bump-labels", "bump-mister"
_keys = itertools.count(1)


def pay(
    session_id: str,
    bumps: Sequence[str] | None = None,
    card: str = "tok_approve",
    key: str | None = None,
) -> Reply:
    return process_checkout(
        get_manager(),
        session_id,
        key=key or f"bumps-{next(_keys)}",
        payment_token=card,
        bumps=bumps,
    )


def ordered(session_id: str) -> list[tuple[str, str]]:
    return [(line.id, str(line.price)) for line in session_of(session_id).products]


def test_bumps_are_lines_of_the_order_and_of_its_one_charge() -> None:
    session_id = start()

    reply = pay(session_id, [LABELS, MISTER])

    (attempt,) = attempts(session_id)
    assert reply.data["session"]["amount"] == 37.4
    assert [str(each.amount) for each in charges(session_id)] == ["37.4000"]
    assert [(line["kind"], line["item"], line["amount"]) for line in attempt.lines] == [
        ("product", "SOIL", "25.00"),
        ("product", LABELS, "4.90"),
        ("product", MISTER, "7.50"),
    ]
    assert session_of(session_id).products[1].extra == {"bump": True}
    assert position(session_id) == "processing/upsell-1"
    audit(session_id)


def test_a_declined_order_keeps_its_bumps_until_it_is_paid_or_they_are_taken_out() -> None:
    session_id = start()

    declined = pay(session_id, [LABELS, MISTER], "tok_decline")
    fewer = pay(session_id, [MISTER], "tok_decline")
    paid = pay(session_id)

    assert (declined.status, fewer.status, paid.status) == (402, 402, 200)
    assert declined.data["next"] == {"step": "checkout", "url": "/checkout", "offers": []}
    assert fewer.data["next"]["offers"] == [LABELS]
    assert [str(each.amount) for each in attempts(session_id)] == ["37.4000", *["32.5000"] * 2]
    audit(session_id)


def test_no_bumps_by_name_take_all_of_them_out() -> None:
    session_id = start()
    pay(session_id, [LABELS], "tok_decline")

    pay(session_id, [])

    assert ordered(session_id) == [("SOIL", "12.50")]
    assert [str(each.amount) for each in charges(session_id)] == ["25.0000"]


def test_a_bump_named_twice_is_in_the_order_once() -> None:
    session_id = start()

    pay(session_id, [LABELS, LABELS])

    assert ordered(session_id) == [("SOIL", "12.50"), (LABELS, "4.90")]


@pytest.mark.parametrize("bump", ["upsell-1-serum", "SOIL", "no-such", ""])
def test_what_is_no_bump_is_refused_by_name_and_nothing_is_charged(bump: str) -> None:
    session_id = start()

    with pytest.raises(PricingError) as refused:
        pay(session_id, [LABELS, bump])

    assert refused.value.field == "bumps[1]"
    assert states(session_id) == []
    assert position(session_id) == "pending/checkout"
    assert ordered(session_id) == [("SOIL", "12.50")]


def test_a_bump_never_takes_an_order_past_what_we_take() -> None:
    session_id = start()
    pots = [{"id": "POT", "quantity": 1, "price": 9_998}]
    get_manager().update_session(session_id, {"products": pots, "amount": 9_998})

    with pytest.raises(PricingError, match="cannot be larger"):
        pay(session_id, [LABELS])

    assert states(session_id) == []


def test_an_order_without_a_product_takes_no_bump() -> None:
    session_id = get_manager().create_session(email="ana@example.org").id

    with pytest.raises(PricingError):
        pay(session_id, [LABELS])
    with pytest.raises(NothingToChargeError):
        pay(session_id, [])


def test_the_same_key_with_other_bumps_is_another_operation() -> None:
    session_id = start()
    first = pay(session_id, [LABELS, MISTER], key="k")

    again = pay(session_id, [MISTER, LABELS], key="k")

    assert again.body == first.body
    for bumps in (None, [], [LABELS]):
        with pytest.raises(IdempotencyKeyReusedError):
            pay(session_id, bumps, key="k")
    assert len(charges(session_id)) == 1


def test_an_order_with_another_bump_than_was_shown_is_not_charged() -> None:
    session_id = start()
    shown = session_of(session_id)
    get_manager().update_session(session_id, with_bumps(shown, [LABELS]))

    with pytest.raises(OrderChangedError):
        process_checkout(
            get_manager(), session_id, key="k", payment_token="tok_approve", shown=shown
        )

    assert states(session_id) == []


def test_bumps_are_added_to_the_order_as_it_is_under_the_lock(
    gateway: type[ScriptedGateway],
) -> None:
    session_id = start()
    get_manager().get_session(session_id)  # a copy of 25.00 is cached
    with get_manager().lock_session(session_id) as locked:
        lines = [{"id": "LAMP", "name": "Grow Lamp", "quantity": 1, "price": 89}]
        locked.update({"products": lines, "amount": 89}, kind="session_updated")

    pay(session_id, [LABELS])

    assert [str(sale.amount) for sale in gateway.calls] == ["93.90"]
    audit(session_id)


def test_the_choice_and_the_claim_are_one_event() -> None:
    session_id = start()

    pay(session_id, [LABELS])

    started = SessionEvent.objects.get(session_id=session_id, kind="charge_started")
    assert {"products", "amount", "status", "current_step"} <= set(started.changed)
    assert started.data["amount"] == "29.90"


@pytest.mark.parametrize("decision", ["accept", "decline"])
def test_a_bump_is_not_answered_as_an_upsell(decision: str) -> None:
    session_id = start()

    with pytest.raises(UnknownOfferError, match="order bump"):
        answer(session_id, LABELS, decision)

    assert states(session_id) == []


def test_every_bump_may_be_ordered_through_the_pricer_too() -> None:
    from sessions_unified.api.views import priced

    bumps = [offer.id for offer in OFFERS.values() if offer.is_bump]
    wanted = [{"id": each, "quantity": 1} for each in ("SOIL", *bumps)]
    session = get_manager().create_session(email="ana@example.org", **priced(wanted))

    pay(session.id)

    assert [each.id for each in session_of(session.id).products] == ["SOIL", *bumps]
    assert [str(each.amount) for each in charges(session.id)] == ["24.9000"]
