"""The gateway as the shop sees it, over real HTTP."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from funnel.payments.gateway import Outcome, Reversal, Sale, get_gateway
from funnel.payments.nmi import NmiGateway
from funnel.payments.nmi.exceptions import NmiAnswerError, NmiNotSentError, NmiQueryError
from tests.unit.funnel.payments.nmi.conftest import KEY, http
from tests.unit.funnel.payments.nmi.test_query import action, document, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django.fixtures import SettingsWrapper

    from tests.unit.funnel.payments.nmi.conftest import RawServer

REFUND = Reversal(
    order_id="rf-1", transaction_id="2577715564", amount=Decimal("5.00"), currency="USD"
)
VOID = Reversal(
    order_id="rf-1",
    transaction_id="2577715564",
    amount=Decimal("25.00"),
    currency="USD",
    is_void=True,
)


def sale(amount: str = "25.00", *, payment_token: str | None = None) -> Sale:
    return Sale(
        order_id="fs-1",
        amount=Decimal(amount),
        currency="USD",
        vault_id="v-1234",
        payment_token=payment_token,
    )


def approval(kind: str = "sale", order_id: str = "fs-1") -> bytes:
    said = f"&orderid={order_id}&type={kind}&response_code=100"
    return http(b"response=1&responsetext=SUCCESS&transactionid=2577715564" + said.encode())


def sent(server: RawServer) -> tuple[str, dict[str, str]]:
    """Return the path and the form of the only request."""
    [request] = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    return head.split()[1].decode(), form


def test_a_sale_is_charged(answering: Callable[..., RawServer]) -> None:
    server = answering(approval())

    receipt = NmiGateway().sale(sale())

    assert (receipt.outcome, receipt.transaction_id) == (Outcome.SUCCEEDED, "2577715564")
    path, form = sent(server)
    assert path == "/api/transact.php"
    assert form["security_key"] == KEY
    assert form["dup_seconds"] == "0"


def test_an_answer_to_another_sale_is_unknown(answering: Callable[..., RawServer]) -> None:
    answering(approval(order_id="fs-2"))

    assert NmiGateway().sale(sale()).outcome is Outcome.UNKNOWN


def test_the_window_for_duplicates_is_as_set(answering: Callable[..., RawServer]) -> None:
    server = answering(approval(), UPSELL_DUP_SECONDS=None)

    NmiGateway().sale(sale())

    assert "dup_seconds" not in sent(server)[1]


@pytest.mark.parametrize("amount", ["25.005", "0"])
def test_a_sale_that_cannot_be_sent_is_rejected(
    answering: Callable[..., RawServer], amount: str
) -> None:
    server = answering(approval())

    receipt = NmiGateway().sale(sale(amount))

    assert receipt.outcome is Outcome.REJECTED
    assert not server.requests


def test_where_nothing_was_sent_nothing_is_in_doubt(nmi: Callable[..., None]) -> None:
    nmi(URL="http://127.0.0.1:1/api/")
    gateway = NmiGateway()

    assert gateway.sale(sale()).outcome is Outcome.REJECTED
    assert gateway.reverse(REFUND).outcome is Outcome.REJECTED
    with pytest.raises(NmiNotSentError):
        gateway.query("fs-1")


@pytest.mark.parametrize(
    ("reversal", "kind", "wanted"),
    [
        (VOID, "void", {"type": "void", "transactionid": "2577715564"}),
        (
            REFUND,
            "refund",
            {
                "type": "refund",
                "transactionid": "2577715564",
                "amount": "5.00",
                "orderid": "rf-1",
            },
        ),
    ],
)
def test_money_is_given_back(
    answering: Callable[..., RawServer], reversal: Reversal, kind: str, wanted: dict[str, str]
) -> None:
    server = answering(approval(kind))

    receipt = NmiGateway().reverse(reversal)

    assert receipt.outcome is Outcome.SUCCEEDED
    assert sent(server) == ("/api/transact.php", {"security_key": KEY, **wanted})


def test_an_order_is_asked_for_by_our_id(answering: Callable[..., RawServer]) -> None:
    server = answering(http(document(transaction())))

    receipt = NmiGateway().query("fs-1")

    assert receipt is not None
    assert (receipt.outcome, receipt.amount) == (Outcome.SUCCEEDED, Decimal("25.00"))
    assert sent(server) == ("/api/query.php", {"security_key": KEY, "order_id": "fs-1"})


def test_a_transaction_is_asked_for_by_its_id(answering: Callable[..., RawServer]) -> None:
    server = answering(http(document(transaction())))

    receipt = NmiGateway().query_transaction("2577715564")

    assert receipt is not None
    assert receipt.order_id == "fs-1"
    assert sent(server)[1] == {"security_key": KEY, "transaction_id": "2577715564"}


def test_a_void_is_asked_for_by_the_sale(answering: Callable[..., RawServer]) -> None:
    record = transaction(action(), action("void"), condition="canceled")
    server = answering(http(document(record)))

    receipt = NmiGateway().query_reversal(VOID)

    assert receipt is not None
    assert receipt.outcome is Outcome.SUCCEEDED
    assert sent(server)[1] == {"security_key": KEY, "transaction_id": "2577715564"}


@pytest.mark.parametrize(
    ("amount", "currency", "wanted"),
    [
        ("5.00", "USD", Outcome.SUCCEEDED),
        ("5.01", "USD", Outcome.UNKNOWN),
        ("5.00", "EUR", Outcome.UNKNOWN),
    ],
)
def test_a_refund_is_asked_for_by_its_own_order_id_and_must_be_the_same(
    answering: Callable[..., RawServer], amount: str, currency: str, wanted: Outcome
) -> None:
    record = transaction(action("refund", amount=amount), order_id="rf-1", currency=currency)
    server = answering(http(document(record)))

    receipt = NmiGateway().query_reversal(REFUND)

    assert receipt is not None
    assert receipt.outcome is wanted
    assert sent(server)[1] == {"security_key": KEY, "order_id": "rf-1"}


def test_a_refund_that_was_voided_gives_nothing_back(answering: Callable[..., RawServer]) -> None:
    actions = action("refund", amount="5.00"), action("void", amount="5.00")
    answering(http(document(transaction(*actions, condition="canceled", order_id="rf-1"))))

    receipt = NmiGateway().query_reversal(REFUND)

    assert receipt is not None
    assert receipt.outcome is Outcome.REJECTED


def test_no_record_is_none(answering: Callable[..., RawServer]) -> None:
    answering(http(document()))
    gateway = NmiGateway()

    assert gateway.query("fs-1") is None
    assert gateway.query_transaction("1") is None
    assert gateway.query_reversal(REFUND) is None
    assert gateway.query_reversal(VOID) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(b"<nm_response><error_response>No</error_response></nm_response>"), NmiQueryError),
        (http(document(), status="503 Busy"), NmiAnswerError),
        (http(b"<html>"), NmiAnswerError),
    ],
)
def test_what_could_not_be_asked_raises(
    answering: Callable[..., RawServer], answer: bytes, error: type[Exception]
) -> None:
    answering(answer)

    with pytest.raises(error):
        NmiGateway().query("fs-1")


def test_the_card_form_gets_what_is_public(nmi: Callable[..., None]) -> None:
    nmi(TOKENIZATION_KEY="public", COLLECT_URL="https://nmi.example/Collect.js")

    context = NmiGateway().card_context()

    assert context == {
        "tokenization_key": "public",
        "collect_url": "https://nmi.example/Collect.js",
    }


def test_it_takes_the_browsers_word_for_a_card(nmi: Callable[..., None]) -> None:
    gateway = NmiGateway()

    assert gateway.fingerprint("tok-1", "abc") == "abc"
    assert gateway.fingerprint("tok-1", None) is None


def test_it_is_the_gateway_that_the_settings_name(settings: SettingsWrapper) -> None:
    settings.FUNNEL = {
        "GATEWAY": "funnel.payments.nmi.NmiGateway",
        "NMI": {"TIMEOUT_SECONDS": 7.5},
    }

    gateway = get_gateway()

    assert (gateway.name, gateway.timeout_seconds) == ("nmi", 7.5)
    assert gateway.takes_money
    assert gateway.supports_reversals
