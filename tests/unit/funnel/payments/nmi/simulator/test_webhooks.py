"""Webhooks: what is sent, how it is signed, and how often it is tried."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from funnel.payments.nmi.simulator import Simulator, running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.funnel.payments.nmi.simulator.conftest import Client


class Shop:
    """Takes webhooks; answers with the statuses it is given, then 200."""

    def __init__(self) -> None:
        self.came: list[tuple[str, bytes]] = []
        self.statuses: list[int] = []
        self.url = ""

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.came]

    @property
    def orders(self) -> list[str]:
        return [event["event_body"]["order_id"] for event in self.events]

    @contextmanager
    def running(self) -> Iterator[None]:
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                shop.came.append((self.headers["Webhook-Signature"], body))
                self.send_response(shop.statuses.pop(0) if shop.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    with shop.running():
        yield shop


@pytest.fixture
def simulator(shop: Shop) -> Iterator[Simulator]:
    with running_simulator(webhook_url=shop.url, webhook_delays=(0.01, 0.01)) as simulator:
        yield simulator


def test_a_sale_is_announced_signed_over_the_raw_body(
    client: Client, simulator: Simulator, shop: Shop
) -> None:
    sale = client.sale("fs-1")
    assert simulator.webhooks.drain()

    [(header, body)] = shop.came
    fields = dict(part.split("=", 1) for part in header.split(","))
    signed = fields["t"].encode() + b"." + body
    right = hmac.new(simulator.webhook_key.encode(), signed, hashlib.sha256).hexdigest()
    assert fields["s"] == right
    event = json.loads(body)
    assert set(event) == {"event_id", "event_type", "event_body"}
    assert event["event_type"] == "transaction.sale.success"
    told = event["event_body"]
    assert (told["transaction_id"], told["order_id"]) == (sale["transactionid"], "fs-1")
    assert (told["condition"], told["currency"]) == ("pendingsettlement", "USD")
    assert told["requested_amount"] == told["action"]["amount"] == "25.30"
    assert (told["action"]["action_type"], told["action"]["success"]) == ("sale", "1")
    assert told["action"]["response_code"] == "100"


def test_what_happens_to_a_sale_is_announced_by_its_type(
    client: Client, simulator: Simulator, shop: Shop
) -> None:
    client.sale("fs-1", card="4000000000000002")
    first, second = client.sale("fs-2"), client.sale("fs-3")
    client.transact(type="void", transactionid=first["transactionid"])
    client.transact(type="refund", transactionid=second["transactionid"], orderid="fr-1")
    assert simulator.webhooks.drain()

    assert [event["event_type"] for event in shop.events] == [
        "transaction.sale.failure",
        "transaction.sale.success",
        "transaction.sale.success",
        "transaction.void.success",
        "transaction.refund.success",
    ]
    assert shop.orders == ["fs-1", "fs-2", "fs-3", "fs-2", "fr-1"]


def test_a_refused_delivery_is_tried_again_and_at_last_given_up(
    client: Client, simulator: Simulator, shop: Shop
) -> None:
    shop.statuses = [500, 503, 200, 500, 500, 500]
    client.sale("fs-1")
    assert simulator.webhooks.drain()
    client.sale("fs-2")
    assert simulator.webhooks.drain()

    states = [(event.state, event.tries, event.status) for event in simulator.webhooks.events]
    assert states == [("delivered", 3, 200), ("given up", 3, 500)]
    assert shop.orders == ["fs-1"] * 3 + ["fs-2"] * 3
    assert len({body for _, body in shop.came}) == 2


def test_a_given_up_event_is_delivered_again_on_request(
    client: Client, simulator: Simulator, shop: Shop
) -> None:
    shop.statuses = [500] * 3
    client.sale("fs-1")
    assert simulator.webhooks.drain()
    [event] = simulator.webhooks.events

    simulator.webhooks.redeliver(event.event_id)
    assert simulator.webhooks.drain()

    assert simulator.webhooks.events[0].state == "delivered"
    assert len(shop.came) == 4


def test_the_same_event_may_come_twice(client: Client, simulator: Simulator, shop: Shop) -> None:
    client.sale("fs-1", card="4000000000000143")
    assert simulator.webhooks.drain()

    first, second = shop.events
    assert first == second


def test_an_event_may_be_overtaken(client: Client, simulator: Simulator, shop: Shop) -> None:
    client.sale("fs-1", card="4000000000000150")
    client.sale("fs-2")
    assert simulator.webhooks.drain()

    assert shop.orders == ["fs-2", "fs-1"]


def test_held_events_come_in_the_order_that_is_wanted(
    client: Client, simulator: Simulator, shop: Shop
) -> None:
    simulator.webhooks.hold()
    for number in range(3):
        client.sale(f"fs-{number}")
    assert shop.came == []

    assert simulator.webhooks.release(is_reversed=True) == 3
    assert simulator.webhooks.drain()

    assert shop.orders == ["fs-2", "fs-1", "fs-0"]


def test_with_nowhere_to_go_events_are_listed(client: Client, simulator: Simulator) -> None:
    simulator.webhooks.url = ""

    client.sale("fs-1")

    assert [event.state for event in simulator.webhooks.events] == ["waiting"]
    assert simulator.webhooks.drain(0)


def test_a_shop_that_is_not_there_costs_only_tries(client: Client, simulator: Simulator) -> None:
    simulator.webhooks.url = "http://127.0.0.1:9/hook"

    client.sale("fs-1")
    assert simulator.webhooks.drain()

    [event] = simulator.webhooks.events
    assert (event.state, event.status) == ("given up", None)
