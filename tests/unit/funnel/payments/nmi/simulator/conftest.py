"""A simulator over HTTP, and a client that says what came of a request, without opinions."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree as ET

import pytest

from funnel.payments.nmi.simulator import Simulator, running_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(kw_only=True)
class Client:
    """Speaks to a simulator, as a shop's server does."""

    simulator: Simulator
    timeout: float = 5

    def post(self, path: str, body: bytes, content_type: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            urlsplit(self.simulator.url).netloc, timeout=self.timeout
        )
        try:
            connection.request("POST", path, body, {"Content-Type": content_type, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            urlsplit(self.simulator.url).netloc, timeout=self.timeout
        )
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def form(self, path: str, **fields: str) -> tuple[int, bytes]:
        whole = {"security_key": self.simulator.security_key} | fields
        return self.post(path, urlencode(whole).encode(), "application/x-www-form-urlencoded")

    def transact(self, **fields: str) -> dict[str, str]:
        _, body = self.form("/api/transact.php", **fields)
        return dict(parse_qsl(body.decode(), keep_blank_values=True))

    def sale(self, order_id: str = "fs-1", *, card: str = "4111111111111111", **fields: str) -> Any:
        """Make a first sale, which stores its card under the vault id "v-<order id>"."""
        first = {
            "payment_token": self.simulator.token(card),
            "customer_vault": "add_customer",
            "customer_vault_id": f"v-{order_id}",
        }
        given = first | {"amount": "25.30", "currency": "USD"} | fields
        return self.transact(type="sale", orderid=order_id, **given)

    def later(self, order_id: str, vault_id: str, **fields: str) -> Any:
        given = {"amount": "29.99", "currency": "USD"} | fields
        return self.transact(type="sale", orderid=order_id, customer_vault_id=vault_id, **given)

    def query(self, **by: str) -> list[dict[str, str]]:
        """Return what a query finds: a record's fields, and its last action's."""
        _, body = self.form("/api/query.php", **by)
        return [
            {each.tag: each.text or "" for each in record}
            | {each.tag: each.text or "" for each in record.findall("action")[-1]}
            for record in ET.fromstring(body).findall("transaction")
        ]

    def control(self, path: str, **given: object) -> tuple[int, Any]:
        body = json.dumps(given).encode()
        status, answer = self.post(f"/_control/{path}", body, "application/json")
        return status, json.loads(answer)

    def look(self, path: str = "") -> Any:
        return json.loads(self.get(f"/_control/{path}")[1])


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with running_simulator() as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Client:
    return Client(simulator=simulator)
