"""The control API over HTTP, and what the browser fetches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from funnel.payments.nmi.simulator.cards import CARDS
from funnel.payments.nmi.simulator.modes import MODES

if TYPE_CHECKING:
    from funnel.payments.nmi.simulator import Simulator
    from tests.unit.funnel.payments.nmi.simulator.conftest import Client


def test_the_index_lists_what_there_is(client: Client, simulator: Simulator) -> None:
    index = client.look()

    assert index["url"] == simulator.url
    assert set(MODES) < set(index["modes"])
    assert set(index["cards"]) == set(CARDS)
    for path in index["get"]:
        assert client.get(f"/_control/{path}")[0] == 200


def test_a_token_for_a_test_card_pays_once(client: Client, simulator: Simulator) -> None:
    status, minted = client.control("token", card="5431111111111111")

    answer = client.transact(type="sale", amount="5.00", payment_token=minted["token"])

    assert (status, answer["response"]) == (200, "1")
    assert minted["card"]["number"] == "543111******1111"
    assert simulator.charges[0].card_type == "mastercard"


def test_books_are_shown_with_exact_amounts_and_no_card_number(client: Client) -> None:
    client.sale("fs-1")

    books = client.look("books")

    assert books["totals"] == {"USD": "25.30"}
    assert books["transactions"][0]["amount"] == "25.30"
    assert "4111111111111111" not in json.dumps(books)


def test_a_mode_is_set_and_shown(client: Client) -> None:
    status, answer = client.control("mode", mode="decline", sales="later", times=1)

    assert status == 200
    assert answer == client.look("mode")
    assert answer["rules"] == [{"mode": "decline", "sales": "later", "card": None, "times": 1}]
    assert client.sale("fs-1")["response"] == "1"
    assert client.later("fs-2", "v-fs-1")["response"] == "2"
    assert client.look("mode")["rules"] == []


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("mode", {"mode": "nonsense"}),
        ("mode", {}),
        ("mode", {"mode": "decline", "sales": "some"}),
        ("mode", {"mode": "decline", "times": 0}),
        ("mode", {"mode": "decline", "times": "many"}),
        ("mode", {"mode": "decline", "card": "4242424242424242"}),
        ("mode", {"mode": "decline", "price": 1}),
        ("token", {"card": "4242424242424242"}),
        ("settle", {"transaction_id": "1"}),
    ],
)
def test_what_makes_no_sense_is_said(client: Client, path: str, given: dict[str, object]) -> None:
    status, answer = client.control(path, **given)

    assert status == 400
    assert answer["error"]


def test_unknown_paths_are_not_found(client: Client) -> None:
    assert client.control("explode")[0] == 404
    assert client.get("/_control/explode")[0] == 404
    assert client.get("/token/../simulator.py")[0] == 404
    assert client.form("/api/other.php")[0] == 404


def test_another_sites_page_cannot_act_through_a_browser(
    client: Client, simulator: Simulator
) -> None:
    client.sale("fs-1")

    status, _ = client.post("/_control/reset", b"{}", "text/plain")

    assert status == 415
    assert len(simulator.charges) == 1


@pytest.mark.parametrize(
    "host", ["rebound.example", "rebound.example:8900", "127.0.0.1.example", "", "[", "a.b."]
)
def test_a_name_that_was_led_here_opens_nothing(
    client: Client, simulator: Simulator, host: str
) -> None:
    client.sale("fs-1")

    looked, books = client.get("/_control/books", Host=host)
    acted, _ = client.post("/_control/reset", b"{}", "application/json", Host=host)

    assert (looked, acted) == (421, 421)
    assert b"fs-1" not in books
    assert len(simulator.charges) == 1


@pytest.mark.parametrize("host", ["127.0.0.1:1", "[::1]:8900", "localhost", "nmi:8900"])
def test_addresses_and_names_within_a_network_are_its_own(client: Client, host: str) -> None:
    assert client.get("/_control/books", Host=host)[0] == 200
    assert client.post("/_control/reset", b"{}", "application/json", Host=host)[0] == 200


def test_a_reset_forgets_everything_but_goes_on_counting(
    client: Client, simulator: Simulator
) -> None:
    before = client.sale("fs-1")
    simulator.mode("decline")
    token = simulator.token()

    assert client.control("reset")[0] == 200

    assert client.transact(type="sale", amount="5.00", payment_token=token)["response"] == "3"
    after = client.sale("fs-2")
    assert after["response"] == "1"
    assert after["transactionid"] > before["transactionid"]
    assert [each.order_id for each in simulator.books.transactions] == ["fs-2"]
    assert len(simulator.webhooks.events) == 1


def test_settling_ends_the_time_for_voids(client: Client) -> None:
    sale = client.sale("fs-1")

    status, answer = client.control("settle", transaction_id=sale["transactionid"])

    assert (status, answer) == (200, {"settled": [sale["transactionid"]]})
    assert client.query(order_id="fs-1")[0]["condition"] == "complete"
    assert client.transact(type="void", transactionid=sale["transactionid"])["response"] == "3"


def test_webhooks_are_listed_held_and_released(client: Client, simulator: Simulator) -> None:
    client.control("webhooks/hold")
    client.sale("fs-1")

    [event] = client.look("webhooks")["events"]
    assert event["body"]["event_body"]["order_id"] == "fs-1"
    assert client.control("webhooks/release", reversed=True)[1] == {"released": 0}
    assert client.control("webhooks/redeliver", event_id="nobody")[1] == {"redelivering": 0}


@pytest.mark.parametrize("name", ["Collect.js", "field.html", "field.js", "field.css"])
def test_the_browsers_files_are_served(client: Client, name: str) -> None:
    status, body = client.get(f"/token/{name}")

    assert status == 200
    assert body


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"ccnumber": "4242424242424242"}, "ccnumber"),
        ({"ccnumber": ""}, "ccnumber"),
        ({"ccexp": "13/25"}, "ccexp"),
        ({"cvv": "12345"}, "cvv"),
    ],
)
def test_only_test_cards_become_tokens(
    client: Client, simulator: Simulator, typed: dict[str, str], wrong: str
) -> None:
    good = {"ccnumber": "4111 1111 1111 1111", "ccexp": "10/25", "cvv": "999"}

    status, body = client.post(
        "/token/create", json.dumps(good | typed).encode(), "application/json"
    )

    assert (status, json.loads(body)["field"]) == (400, wrong)


def test_a_typed_card_becomes_a_token_with_its_hash(client: Client, simulator: Simulator) -> None:
    typed = {"ccnumber": "4111 1111 1111 1111", "ccexp": "10 / 25", "cvv": "999"}

    answers = [
        json.loads(client.post("/token/create", json.dumps(typed).encode(), "application/json")[1])
        for _ in range(2)
    ]

    first, second = answers
    assert first["token"] != second["token"]
    assert first["card"] == second["card"]
    assert first["card"]["hash"] == CARDS["4111111111111111"].hash
    assert first["card"]["number"] == "411111******1111"
    paid = client.transact(type="sale", amount="5.00", payment_token=first["token"])
    assert (paid["response"], paid["cvvresponse"]) == ("1", "M")


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b"\xff", b"[" * 100_000])
def test_no_body_breaks_it(client: Client, body: bytes) -> None:
    assert client.post("/token/create", body, "application/json")[0] == 400
    assert client.post("/_control/mode", body, "application/json")[0] == 400
    assert client.post("/api/transact.php", body, "text/plain")[0] == 200
