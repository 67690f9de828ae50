"""``query.php`` over HTTP."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from funnel.payments.nmi.simulator import Simulator
    from tests.unit.funnel.payments.nmi.simulator.conftest import Client


def test_a_sale_is_found_by_either_id_in_nmis_elements(
    client: Client, simulator: Simulator
) -> None:
    sale = client.sale("fs <1> & co")

    by_order = client.query(order_id="fs <1> & co")
    by_id = client.query(transaction_id=sale["transactionid"])

    assert by_order == by_id
    [record] = by_order
    wanted = {
        "transaction_id": sale["transactionid"],
        "condition": "pendingsettlement",
        "order_id": "fs <1> & co",
        "customerid": "v-fs <1> & co",
        "currency": "USD",
        "amount": "25.30",
        "action_type": "sale",
        "success": "1",
        "response_code": "100",
    }
    assert {name: record[name] for name in wanted} == wanted


def test_nothing_found_is_an_empty_element_and_a_wrong_key_an_error(client: Client) -> None:
    _, empty = client.form("/api/query.php", order_id="fs-1")
    _, refused = client.form("/api/query.php", order_id="fs-1", security_key="wrong")
    _, senseless = client.form("/api/query.php")

    assert empty.endswith(b"<nm_response></nm_response>\n")
    assert b"<error_response>Invalid Security Key" in refused
    assert b"<error_response>" in senseless


def test_a_hidden_record_appears_after_as_many_calls_as_were_said(
    client: Client, simulator: Simulator
) -> None:
    simulator.mode("charge-then-421", hidden_calls=2, times=1)
    told = client.sale("fs-1")

    found = [len(client.query(order_id="fs-1")) for _ in range(4)]

    assert told["response_code"] == "421"
    assert found == [0, 0, 1, 1]
    assert len(simulator.charges) == 1


def test_a_charge_of_another_amount_or_currency_is_shown_as_it_is(
    client: Client, simulator: Simulator
) -> None:
    for mode, amount, currency in (
        ("tampered-amount", "26.30", "USD"),
        ("tampered-currency", "25.30", "EUR"),
    ):
        simulator.mode(mode, times=1)
        with pytest.raises(http.client.RemoteDisconnected):
            client.sale(mode)

        [record] = client.query(order_id=mode)

        assert (record["amount"], record["currency"]) == (amount, currency)


@pytest.mark.parametrize(
    ("mode", "status", "part"),
    [
        ("rate-limit", 200, b"<error_response>Rate limit"),
        ("http-429", 429, b"Too many"),
        ("http-500", 500, b"<h1>"),
        ("malformed-html", 200, b"<h1>"),
    ],
)
def test_queries_fail_as_they_are_told_to(
    client: Client, simulator: Simulator, mode: str, status: int, part: bytes
) -> None:
    client.sale("fs-1")
    simulator.mode(mode, sales="queries", times=1)

    answer = client.form("/api/query.php", order_id="fs-1")

    assert answer[0] == status
    assert part in answer[1]
    assert len(client.query(order_id="fs-1")) == 1


def test_a_query_may_never_be_answered(client: Client, simulator: Simulator) -> None:
    simulator.mode("drop-connection", sales="queries")

    with pytest.raises(http.client.RemoteDisconnected):
        client.query(order_id="fs-1")
