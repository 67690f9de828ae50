"""What is kept of an event's body."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.payments.webhooks.facts import MalformedEventError, amount_of, currency_of, read

EVENT: dict[str, Any] = {
    "event_id": "5f3c",
    "event_type": "transaction.sale.success",
    "event_body": {
        "transaction_id": "2577715564",
        "order_id": "fs-1",
        "condition": "pendingsettlement",
        "currency": "usd",
        "customerid": "v-secret",
        "card": {"cc_number": "4111111111111111"},
        "billing_address": {"first_name": "Ana", "email": "ana@example.org"},
        "action": {
            "amount": "25.00",
            "action_type": "sale",
            "success": "1",
            "ip_address": "192.0.2.1",
            "response_text": "Approved 4111 1111 1111 1111\u0000",
            "response_code": 100,
        },
    },
}


def changed(**changes: Any) -> bytes:
    return json.dumps(EVENT | changes).encode()


def test_only_what_is_used_is_kept() -> None:
    event = read(changed())

    assert (event.event_id, event.order_id, event.transaction_id) == ("5f3c", "fs-1", "2577715564")
    assert event.facts == {
        "condition": "pendingsettlement",
        "currency": "usd",
        "amount": "25.00",
        "action": "sale",
        "success": "1",
        "code": "100",
        "text": "Approved [number]",
    }
    assert (amount_of(event.facts), currency_of(event.facts)) == (Decimal(25), "USD")


def test_what_orders_and_transactions_are_called_is_kept_exactly() -> None:
    names = {
        "transaction_id": "123456789012345",
        "order_id": "fs-25f844990644286d827accf9",
        "original_transaction_id": "123456789012399",
    }

    event = read(changed(event_body=EVENT["event_body"] | names))

    assert (event.transaction_id, event.order_id) == (names["transaction_id"], names["order_id"])
    assert event.facts["originalTransactionId"] == names["original_transaction_id"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b"[" * 20_000,
        b'{"event_id": "\\ud800", "event_type": "t", "event_body": {}}',
        changed(event_id=None),
        changed(event_id=""),
        changed(event_id="x" * 101),
        changed(event_id=True),
        changed(event_type="x" * 65),
        changed(event_type={}),
        changed(event_body=None),
        changed(event_body=[]),
    ],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedEventError):
        read(body)


@pytest.mark.parametrize("text", ["", "-1", "1e5", "NaN", "25,00", "1" * 16, " 25", "٢٥"])
def test_what_is_no_amount_says_none(text: str) -> None:
    assert amount_of({"amount": text}) is None


def test_an_identifier_that_does_not_fit_is_none_rather_than_another() -> None:
    body = EVENT["event_body"] | {"order_id": "x" * 101}

    assert read(changed(event_body=body)).order_id == ""


@pytest.mark.parametrize("more", ["\0", "\u200b", "\n", "\x7f", "\u2028"])
def test_an_identifier_with_what_is_not_printed_is_none_either(more: str) -> None:
    body = EVENT["event_body"] | {"order_id": f"fs-{more}1", "transaction_id": f"12{more}"}

    event = read(changed(event_body=body))

    assert (event.order_id, event.transaction_id) == ("", "")
    with pytest.raises(MalformedEventError):
        read(changed(event_id=f"e{more}1"))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(JSON, JSON, JSON)
def test_whatever_is_signed_is_an_event_or_malformed(one: Any, two: Any, three: Any) -> None:
    details = {"action": two, "order_id": three, "currency": one, "transaction_id": two}
    body = json.dumps({"event_id": one, "event_type": "t", "event_body": details}).encode()

    try:
        event = read(body)
    except MalformedEventError:
        return

    assert "\x00" not in f"{event}"
    assert all(isinstance(value, str) and len(value) <= 200 for value in event.facts.values())
