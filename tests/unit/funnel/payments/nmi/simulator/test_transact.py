"""``transact.php`` over HTTP: what is answered, and what the books say then."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest

from funnel.payments.nmi.simulator.modes import MODES

if TYPE_CHECKING:
    from funnel.payments.nmi.simulator import Simulator
    from tests.unit.funnel.payments.nmi.simulator.conftest import Client


def test_a_sale_answers_in_nmis_fields_and_stores_the_card(
    client: Client, simulator: Simulator
) -> None:
    answer = client.sale("fs-1")

    [charge] = simulator.charges
    assert answer == {
        "response": "1",
        "responsetext": "SUCCESS",
        "authcode": "123456",
        "transactionid": charge.transaction_id,
        "avsresponse": "",
        "cvvresponse": "M",
        "orderid": "fs-1",
        "type": "sale",
        "response_code": "100",
        "customer_vault_id": "v-fs-1",
    }
    assert client.later("fs-2", "v-fs-1")["response"] == "1"
    assert [str(each.amount) for each in simulator.charges] == ["25.30", "29.99"]


def test_another_cvv_does_not_match(client: Client, simulator: Simulator) -> None:
    token = simulator.token(cvv="123")

    answer = client.transact(type="sale", orderid="fs-1", amount="5.00", payment_token=token)

    assert (answer["response"], answer["cvvresponse"]) == ("1", "N")


def test_an_amount_below_one_declines(client: Client, simulator: Simulator) -> None:
    answers = [client.sale("fs-1", amount="0.99"), client.sale("fs-2", amount="1.00")]

    assert [(each["response"], each["response_code"]) for each in answers] == [
        ("2", "200"),
        ("1", "100"),
    ]
    assert [each.condition for each in simulator.books.transactions] == [
        "failed",
        "pendingsettlement",
    ]


def test_a_decline_stores_no_card_and_takes_nothing(client: Client, simulator: Simulator) -> None:
    declined = client.sale("fs-1", card="4000000000000002")
    later = client.later("fs-2", "v-fs-1")

    assert (declined["response"], declined["responsetext"]) == ("2", "DECLINE")
    assert declined["transactionid"]
    assert later["responsetext"].startswith("Invalid Customer Vault Id REFID:")
    assert simulator.charges == []


def test_a_payment_token_works_once_even_if_it_was_declined(
    client: Client, simulator: Simulator
) -> None:
    for card in ("4111111111111111", "4000000000000002"):
        token = simulator.token(card)
        fields = {"type": "sale", "amount": "5.00", "payment_token": token}

        answers = [client.transact(orderid=f"fs-{number}", **fields) for number in range(2)]

        assert answers[1]["response"] == "3"
        assert "already been used" in answers[1]["responsetext"]
    assert len(simulator.charges) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"payment_token": "nonsense"}, "Payment token does not exist"),
        ({"payment_token": "", "customer_vault_id": "nobody"}, "Invalid Customer Vault Id"),
        ({"payment_token": "", "ccnumber": "4242424242424242"}, "Invalid Credit Card Number"),
        ({"amount": "25,30"}, "Invalid amount"),
        ({"amount": "-1.00"}, "Invalid amount"),
        ({"amount": "NaN"}, "Invalid amount"),
        ({"amount": ""}, "Invalid amount"),
        ({"currency": "Dollars"}, "Invalid currency"),
        ({"dup_seconds": "soon"}, "Invalid dup_seconds"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_record(
    client: Client, simulator: Simulator, fields: dict[str, str], said: str
) -> None:
    answer = client.sale("fs-1", **fields)

    assert (answer["response"], answer["response_code"]) == ("3", "300")
    assert answer["responsetext"].startswith(f"{said} REFID:")
    assert simulator.books.transactions == []


def test_an_unknown_type_is_refused(client: Client) -> None:
    assert client.transact(type="steal")["responsetext"].startswith("Invalid Transaction Type")


def test_a_wrong_security_key_is_refused(client: Client, simulator: Simulator) -> None:
    answer = client.sale("fs-1", security_key="wrong")

    assert (answer["response"], answer["responsetext"]) == ("3", "Authentication Failed")
    assert simulator.books.transactions == []


def test_a_vault_id_is_given_once_and_a_deleted_card_is_gone(
    client: Client, simulator: Simulator
) -> None:
    client.sale("fs-1")

    again = client.sale("fs-2", customer_vault_id="v-fs-1")
    deleted = client.transact(customer_vault="delete_customer", customer_vault_id="v-fs-1")
    later = client.later("fs-3", "v-fs-1")

    assert again["responsetext"].startswith("Duplicate Customer Vault Id")
    assert deleted["response"] == "1"
    assert later["response"] == "3"
    assert len(simulator.charges) == 1


def test_the_duplicate_window_is_by_card_and_amount_and_as_long_as_was_asked(
    client: Client, simulator: Simulator
) -> None:
    client.sale("fs-1")

    same = client.sale("fs-2", dup_seconds="1200")
    unasked = client.sale("fs-3")
    other_amount = client.sale("fs-4", dup_seconds="1200", amount="25.31")
    other_card = client.sale("fs-5", dup_seconds="1200", card="5431111111111111")
    upsell = client.later("fs-6", "v-fs-1", amount="25.30", dup_seconds="1200")

    assert [same["response_code"], upsell["response_code"]] == ["430", "430"]
    assert same["responsetext"].startswith("Duplicate transaction REFID:")
    assert not same["transactionid"]
    assert {each["response"] for each in (unasked, other_amount, other_card)} == {"1"}
    assert len(simulator.charges) == 4


def test_a_void_undoes_a_sale_until_it_is_settled(client: Client, simulator: Simulator) -> None:
    first, second = client.sale("fs-1"), client.sale("fs-2")

    voided = client.transact(type="void", transactionid=first["transactionid"])
    again = client.transact(type="void", transactionid=first["transactionid"])
    simulator.books.settle()
    late = client.transact(type="void", transactionid=second["transactionid"])

    assert (voided["response"], voided["transactionid"]) == ("1", first["transactionid"])
    assert {again["response"], late["response"]} == {"3"}
    assert [each.order_id for each in simulator.charges] == ["fs-2"]
    [record] = client.query(order_id="fs-1")
    assert (record["condition"], record["action_type"]) == ("canceled", "void")


def test_refunds_have_their_own_ids_and_never_exceed_the_sale(
    client: Client, simulator: Simulator
) -> None:
    sale = client.sale("fs-1")
    sale_id = sale["transactionid"]

    part = client.transact(type="refund", transactionid=sale_id, amount="20.00", orderid="fr-1")
    much = client.transact(type="refund", transactionid=sale_id, amount="5.31", orderid="fr-2")
    rest = client.transact(type="refund", transactionid=sale_id, orderid="fr-3")
    none = client.transact(type="refund", transactionid=sale_id, amount="0.01", orderid="fr-4")

    assert [each["response"] for each in (part, much, rest, none)] == ["1", "3", "1", "3"]
    assert len({sale_id, part["transactionid"], rest["transactionid"]}) == 3
    assert {str(total) for total in simulator.books.totals().values()} == {"0.00"}
    [record] = client.query(order_id="fr-1")
    assert (record["action_type"], record["amount"]) == ("refund", "20.00")
    assert record["original_transaction_id"] == sale_id


@pytest.mark.parametrize("name", sorted(MODES))
def test_every_mode_does_to_the_books_what_it_says(
    client: Client, simulator: Simulator, name: str
) -> None:
    mode = MODES[name]
    client.timeout = 1
    simulator.mode(name, times=1)

    fields = {"type": "sale", "orderid": "fs-1", "amount": "25.30", "currency": "USD"}
    fields["payment_token"] = simulator.token()

    if mode.delivery == "send":
        status, body = client.form("/api/transact.php", **fields)
        assert (status, mode.body in {None, body}) == (mode.status, True)
        assert mode.body is not None or f"response_code={mode.code}".encode() in body
    else:
        lost = {"drop": http.client.RemoteDisconnected, "hang": TimeoutError}
        with pytest.raises(lost[mode.delivery]):
            client.form("/api/transact.php", **fields)

    conditions = {"approve": ["pendingsettlement"], "decline": ["failed"], "refuse": []}
    made = simulator.books.of_order("fs-1")
    assert [each.condition for each in made] == conditions[mode.decision]
    for charge in simulator.charges:
        is_wrong = {
            "amount": str(charge.amount) != "25.30",
            "currency": charge.currency != "USD",
        }
        assert [what for what, wrong in is_wrong.items() if wrong] == (
            [mode.tampers] if mode.tampers else []
        )


def test_a_mode_of_reversals_leaves_sales_alone(client: Client, simulator: Simulator) -> None:
    simulator.mode("charge-then-drop-connection", sales="reversals")

    sale = client.sale("fs-1")
    with pytest.raises(http.client.RemoteDisconnected):
        client.transact(type="refund", transactionid=sale["transactionid"], orderid="fr-1")

    assert sale["response"] == "1"
    assert [str(each.amount) for each in simulator.books.refunds] == ["25.30"]
