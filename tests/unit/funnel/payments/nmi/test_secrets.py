"""Keys, tokens and stored cards are in no repr, error, traceback or log line, come what may."""

from __future__ import annotations

import logging
import traceback
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

import pytest

from funnel.conf import get_conf
from funnel.payments.gateway import Reversal, Sale
from funnel.payments.nmi import NmiGateway
from funnel.payments.nmi.conf import get_nmi_conf
from tests.unit.funnel.payments.nmi.conftest import KEY, RawServer, http, read_request

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

TOKEN, VAULT, EMAIL = "tok-canary-91", "v-canary-7c", "canary@example.org"
SECRETS = (KEY, TOKEN, VAULT, EMAIL, "Canaria")
ECHOED = ("security_key", "payment_token", "customer_vault_id", "email")
LIBRARIES = ("httpx2", "httpcore2", "httpcore2.http11", "httpcore2.connection")
RECORD = (
    f"<nm_response><transaction><customerid>{VAULT}</customerid><broken></transaction>"
).encode()
ERROR = f"<nm_response><error_response>4111111111111111</error_response>{VAULT}</nm_response>"


def sale(payment_token: str | None) -> Sale:
    return Sale(
        order_id="fs-1",
        amount=Decimal("25.00"),
        currency="USD",
        vault_id=VAULT,
        payment_token=payment_token,
        customer={"firstName": "Canaria"},
        email=EMAIL,
    )


REVERSAL = Reversal(order_id="rf-1", transaction_id="1", amount=Decimal("25.00"), currency="USD")
CALLS: dict[str, Callable[[NmiGateway], object]] = {
    "first sale": lambda gateway: gateway.sale(sale(TOKEN)),
    "later sale": lambda gateway: gateway.sale(sale(None)),
    "unsendable sale": lambda gateway: gateway.sale(
        Sale(order_id="1", amount=Decimal("0.001"), currency="USD", vault_id=VAULT)
    ),
    "reverse": lambda gateway: gateway.reverse(REVERSAL),
    "query": lambda gateway: gateway.query("fs-1"),
    "query transaction": lambda gateway: gateway.query_transaction("1"),
    "query reversal": lambda gateway: gateway.query_reversal(REVERSAL),
}
ANSWERS = {
    "approval": http(b"response=1&responsetext=OK&transactionid=1&response_code=100"),
    "broken record": http(RECORD),
    "error": http(ERROR.encode()),
    "server error": http(RECORD, status="500 Oops"),
    "rate limit": http(b"", status="429 Slow down"),
    "redirect": http(b"", status="302 Found", headers="Location: /other\r\n"),
    "dropped": b"",
    "cut short": http(RECORD)[:-3],
    "no http": RECORD,
    "endless": b"HTTP/1.1 200 OK\r\n\r\n" + RECORD,
}


@pytest.fixture
def every_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Listen to everything, the HTTP libraries at their most talkative included."""
    for name in (None, *LIBRARIES):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def echo(connection: socket.socket, server: RawServer) -> None:
    """Quote in the answer all that was asked, as clumsy gateways do."""
    asked = read_request(connection).partition(b"\r\n\r\n")[2].decode()
    quoted = quote(" ".join(value for name, value in parse_qsl(asked) if name in ECHOED).upper())
    body = f"response=3&response_code=300&transactionid=&responsetext=Bad {quoted}&orderid={quoted}"
    connection.sendall(http(body.encode()))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", [*ANSWERS, "echo", "refused"])
def test_nothing_that_can_be_shown_or_logged_has_a_secret(
    answering: Callable[..., object],
    raw_server: Callable[..., RawServer],
    nmi: Callable[..., None],
    every_log: pytest.LogCaptureFixture,
    call: str,
    answer: str,
) -> None:
    if answer == "refused":
        nmi(URL="http://127.0.0.1:1/api/")
    elif answer == "echo":
        nmi(URL=raw_server(echo).url)
    else:
        answering(ANSWERS[answer])
    shown = []

    try:
        shown.append(repr(CALLS[call](NmiGateway())))
    except Exception as exc:  # noqa: BLE001  (whatever it raises is what is looked at)
        shown += [repr(exc), str(exc), "".join(traceback.format_exception(exc))]
        # What error trackers send: the local variables of every frame, along every chain.
        whole = traceback.TracebackException.from_exception(exc, capture_locals=True)
        frames = [
            frame.locals or {}
            for frame in whole.stack
            if "/nmi/" in frame.filename and "/tests/" not in frame.filename
        ]
        assert frames
        assert whole.__cause__ is None
        assert whole.__context__ is None
        shown += [repr(frames)]

    # Records as they are formatted, and what they were made of.
    shown += [every_log.text, *(repr(record.args) for record in every_log.records)]
    for secret in SECRETS:
        assert secret.lower() not in "\n".join(shown).lower()
    assert "4111111111111111" not in "\n".join(shown)


def test_the_http_libraries_were_listened_to(
    answering: Callable[..., object], every_log: pytest.LogCaptureFixture
) -> None:
    answering(ANSWERS["approval"])

    NmiGateway().sale(sale(TOKEN))

    assert {"httpx2", "httpcore2.http11"} <= {record.name for record in every_log.records}


def test_no_settings_object_shows_a_key(nmi: Callable[..., None]) -> None:
    nmi(WEBHOOK_KEYS=["wh-canary"])

    shown = repr(get_nmi_conf()) + repr(get_conf())

    assert get_nmi_conf().WEBHOOK_KEYS == ["wh-canary"]
    assert "canary" not in shown
