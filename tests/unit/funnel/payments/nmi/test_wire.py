"""What is posted: NMI's own field names, amounts in the currency's decimals, nothing shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest

from funnel.payments.gateway import Reversal, Sale
from funnel.payments.nmi import wire
from funnel.payments.nmi.exceptions import NmiNotSentError

CUSTOMER = {
    "firstName": "Ana",
    "lastName": "Müller",
    "phone": "+1 555 0100",
    "address": {
        "line1": "1 Main St",
        "line2": "",
        "city": "Springfield",
        "state": "IL",
        "zip": "62701",
        "country": "US",
    },
}


def sale(**given: Any) -> Sale:
    whole: dict[str, Any] = {
        "order_id": "fs-1",
        "amount": Decimal("25.00"),
        "currency": "USD",
        "vault_id": "v-canary",
        "payment_token": "tok-canary",
        "customer": CUSTOMER,
        "email": "ana@example.org",
    }
    return Sale(**whole | given)


def reversal(**given: Any) -> Reversal:
    whole: dict[str, Any] = {
        "order_id": "rf-1",
        "transaction_id": "2577715564",
        "amount": Decimal("5.00"),
        "currency": "USD",
    }
    return Reversal(**whole | given)


def test_the_first_sale_of_a_card_fills_our_vault() -> None:
    form = wire.sale_form(sale(), dup_seconds=0)

    assert form.fields == {
        "type": "sale",
        "payment_token": "tok-canary",
        "amount": "25.00",
        "currency": "USD",
        "orderid": "fs-1",
        "customer_vault": "add_customer",
        "customer_vault_id": "v-canary",
        "initiated_by": "customer",
        "stored_credential_indicator": "stored",
        "first_name": "Ana",
        "last_name": "Müller",
        "address1": "1 Main St",
        "city": "Springfield",
        "state": "IL",
        "zip": "62701",
        "country": "US",
        "phone": "+1 555 0100",
        "email": "ana@example.org",
    }


def test_both_kinds_of_sale_say_what_for_and_from_where() -> None:
    for token in ("tok-canary", None):
        wanted = sale(payment_token=token, description="2 x Soil", address="203.0.113.9")

        form = wire.sale_form(wanted, dup_seconds=0)

        assert form.fields["order_description"] == "2 x Soil"
        assert form.fields["ipaddress"] == "203.0.113.9"
        assert "203.0.113.9" in form.hidden


def test_a_later_sale_charges_the_vault() -> None:
    form = wire.sale_form(sale(payment_token=None), dup_seconds=0)

    assert form.fields == {
        "type": "sale",
        "customer_vault_id": "v-canary",
        "amount": "25.00",
        "currency": "USD",
        "orderid": "fs-1",
        "initiated_by": "customer",
        "stored_credential_indicator": "used",
        "dup_seconds": "0",
    }


def test_without_a_window_of_ours_nmis_own_stands() -> None:
    form = wire.sale_form(sale(payment_token=None), dup_seconds=None)

    assert "dup_seconds" not in form.fields


@pytest.mark.parametrize(
    "customer", [None, {}, {"firstName": None, "address": None}, {"address": "1 Main St"}]
)
def test_what_is_not_known_of_a_person_is_not_sent(customer: dict[str, Any] | None) -> None:
    form = wire.sale_form(sale(customer=customer, email=None))

    assert not {"first_name", "last_name", "address1", "zip", "email"} & set(form.fields)


def test_a_void_names_the_sale() -> None:
    form = wire.reversal_form(reversal(is_void=True))

    assert form.fields == {"type": "void", "transactionid": "2577715564"}


def test_a_refund_names_the_sale_its_amount_and_an_order_id_of_its_own() -> None:
    form = wire.reversal_form(reversal())

    assert form.fields == {
        "type": "refund",
        "transactionid": "2577715564",
        "amount": "5.00",
        "orderid": "rf-1",
    }


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("25", "USD", "25.00"),
        ("25.5", "USD", "25.50"),
        ("1000", "JPY", "1000"),
        ("1000.00", "JPY", "1000"),
        ("1.5", "KWD", "1.500"),
        ("1E+3", "USD", "1000.00"),
    ],
)
def test_amounts_have_exactly_their_currencys_decimals(
    amount: str, currency: str, text: str
) -> None:
    assert wire.amount_text(Decimal(amount), currency) == text


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("25.005", "USD"), ("10.5", "JPY"), ("0", "USD"), ("-1", "USD"), ("NaN", "USD")],
)
def test_an_amount_that_would_be_rounded_is_not_sent(amount: str, currency: str) -> None:
    with pytest.raises(NmiNotSentError):
        wire.sale_form(sale(amount=Decimal(amount), currency=currency))


def test_a_sale_that_names_no_card_is_not_sent() -> None:
    with pytest.raises(NmiNotSentError):
        wire.sale_form(sale(vault_id="", payment_token=None))


def test_the_body_carries_the_key_and_whatever_people_are_called() -> None:
    form = wire.sale_form(sale(customer={"firstName": "a&type=void\ud800"}))

    body = parse_qs(form.encoded("the-key").decode("ascii"))

    assert body["security_key"] == ["the-key"]
    assert body["type"] == ["sale"]
    assert body["first_name"] == ["a&type=void?"]


def test_no_form_shows_what_is_in_it() -> None:
    form = wire.sale_form(sale())

    assert repr(form) == "Form()"
    assert set(form.hidden) == {"tok-canary", "v-canary", "ana@example.org", "+1 555 0100"}
