"""What NMI's records mean: a success wins, a failure must be said, all else is inconclusive."""

from __future__ import annotations

from decimal import Decimal
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.nmi import query
from funnel.payments.nmi.exceptions import NmiAnswerError, NmiError, NmiQueryError

S, D, R, U, V = (
    *(Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.REJECTED),
    *(Outcome.UNKNOWN, Outcome.VOIDED),
)
ORDER = "fs-1"


def action(
    kind: str = "sale",
    *,
    success: str = "1",
    code: str = "100",
    amount: str = "25.00",
    text: str = "SUCCESS",
) -> str:
    return (
        f"<action><amount>{amount}</amount><action_type>{kind}</action_type><date>1</date>"
        f"<success>{success}</success><response_text>{text}</response_text>"
        f"<response_code>{code}</response_code></action>"
    )


def transaction(
    *actions: str,
    condition: str = "pendingsettlement",
    order_id: str = ORDER,
    transaction_id: str = "2577715564",
    currency: str = "USD",
) -> str:
    return (
        f"<transaction><transaction_id>{transaction_id}</transaction_id>"
        f"<condition>{condition}</condition><order_id>{order_id}</order_id>"
        f"<customerid>v-canary</customerid><currency>{currency}</currency>"
        f"{''.join(actions or [action()])}</transaction>"
    )


def document(*transactions: str) -> bytes:
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f"{head}<nm_response>{''.join(transactions)}</nm_response>\n".encode()


def of_order(*transactions: str) -> Receipt:
    receipt = query.receipt_of_order(query.read(200, document(*transactions)), ORDER)
    assert receipt is not None
    return receipt


FAILED = action(success="0", code="200", text="DECLINE")
REFUSED = action(success="0", code="300", text="Wrong")


def test_a_charge_is_found_with_all_that_it_says() -> None:
    receipt = of_order(transaction())

    assert receipt == Receipt(
        outcome=S,
        transaction_id="2577715564",
        amount=Decimal("25.00"),
        currency="USD",
        reason="pendingsettlement: SUCCESS (100)",
        response={
            "condition": "pendingsettlement",
            "response_code": "100",
            "responsetext": "SUCCESS",
        },
        order_id=ORDER,
    )


@pytest.mark.parametrize(
    "body",
    [b"<nm_response></nm_response>", b"<nm_response/>", b"<nm_response>\n </nm_response>"],
)
def test_nothing_found_is_none(body: bytes) -> None:
    records = query.read(200, body)

    assert query.receipt_of_order(records, ORDER) is None
    assert query.receipt_of_transaction(records, "1") is None
    assert query.receipt_of_void(records, "1") is None


CONDITIONS = [
    *("pending", "pendingsettlement", "in_progress", "abandoned", "failed", "canceled"),
    *("complete", "unknown", "", "Complete", "something new"),
]
TAKEN = {"pendingsettlement": S, "complete": S}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(
    ("actions", "wanted"),
    [
        ([action()], TAKEN),
        ([action(), action("void")], {"canceled": V}),
        ([action(), action("void", success="0", code="300")], TAKEN),
        ([action(), action("refund", amount="5.00")], TAKEN),
        ([FAILED], {"failed": D}),
        ([REFUSED], {"failed": R}),
        ([action(success="0", code="300", text="Duplicate transaction REFID:1")], {"failed": R}),
        ([action(success="0", code="461")], {"failed": R}),
        ([action(success="0", code="301")], {"failed": R}),
        ([action(success="0", code="400")], {}),
        ([action(success="0", code="420")], {}),
        ([action(success="0", code="421")], {}),
        ([action(success="0", code="430")], {}),
        ([action(success="0", code="100")], {}),
        ([action(success="0", code="")], {}),
        ([action(success="", code="200")], {}),
        ([action(success="2", code="200")], {}),
        ([action(success="1", code="200")], {}),
        ([action(), action()], {}),
        ([FAILED, action()], {}),
        ([FAILED, REFUSED], {"failed": R}),
        ([FAILED, action("void")], {}),
        ([action("auth")], {}),
        ([action("refund")], {}),
        ([action("validate", success="0", code="200")], {}),
        (["<action/>"], {}),
    ],
)
def test_every_condition_with_every_action(
    condition: str, actions: list[str], wanted: dict[str, Outcome]
) -> None:
    receipt = of_order(transaction(*actions, condition=condition))

    assert receipt.outcome is wanted.get(condition, U)
    if receipt.outcome in {S, V}:
        assert (receipt.amount, receipt.currency) == (Decimal("25.00"), "USD")
        assert receipt.transaction_id == "2577715564"


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        *(("", "USD"), ("0.00", "USD"), ("-25.00", "USD"), ("1e3", "USD"), ("NaN", "USD")),
        *(("25.00", ""), ("25.00", "usd"), ("25.00", "US"), ("25,00", "USD")),
        ("9" * 30, "USD"),
    ],
)
def test_a_charge_without_a_clear_amount_is_inconclusive(amount: str, currency: str) -> None:
    receipt = of_order(transaction(action(amount=amount), currency=currency))

    assert receipt.outcome is U
    assert receipt.amount is None


@pytest.mark.parametrize(
    ("amount", "currency", "wanted"),
    [
        ("1000.00", "JPY", "1000"),
        ("1000.50", "JPY", "1000.50"),
        ("1.5", "KWD", "1.500"),
        ("25", "USD", "25.00"),
        ("25.005", "USD", "25.005"),
    ],
)
def test_an_amount_is_never_rounded(amount: str, currency: str, wanted: str) -> None:
    receipt = of_order(transaction(action(amount=amount), currency=currency))

    assert str(receipt.amount) == wanted


@pytest.mark.parametrize("name", ["transaction_id", "condition", "currency"])
def test_what_is_said_twice_is_not_said(name: str) -> None:
    twice = transaction().replace("<customerid>", f"<{name}>complete</{name}><customerid>")

    assert of_order(twice).outcome is U


def test_an_order_whose_name_has_many_digits_is_found_by_it() -> None:
    name = "fs-25f844990644286d827accf9"
    record = document(transaction(order_id=name))

    by_order = query.receipt_of_order(query.read(200, record), name)
    by_transaction = query.receipt_of_transaction(query.read(200, record), "2577715564")

    assert by_order is not None
    assert by_transaction is not None
    assert by_order.order_id == by_transaction.order_id == name


@pytest.mark.parametrize("order_id", ["fs-2", "", "FS-1"])
def test_a_record_of_another_order_says_nothing(order_id: str) -> None:
    receipt = of_order(transaction(order_id=order_id))

    assert receipt.outcome is U
    assert receipt.transaction_id is None


@pytest.mark.parametrize(
    ("records", "wanted"),
    [
        ([transaction(FAILED, condition="failed"), transaction()], S),
        ([transaction(), transaction(FAILED, condition="failed")], S),
        ([transaction(condition="pending"), transaction()], S),
        ([transaction(action(), action("void"), condition="canceled"), transaction()], S),
        ([transaction(order_id="fs-2"), transaction()], S),
        ([transaction(FAILED, condition="failed")] * 2, D),
        ([transaction(REFUSED, condition="failed"), transaction(FAILED, condition="failed")], D),
        ([transaction(REFUSED, condition="failed")] * 2, R),
        ([transaction(FAILED, condition="failed"), transaction(condition="pending")], U),
        ([transaction(FAILED, condition="failed"), transaction(FAILED, order_id="fs-2")], U),
        (
            [
                transaction(FAILED, condition="failed"),
                transaction(action(), action("void"), condition="canceled"),
            ],
            V,
        ),
    ],
)
def test_of_several_records_a_success_wins_and_only_all_failures_are_one(
    records: list[str], wanted: Outcome
) -> None:
    assert of_order(*records).outcome is wanted


def test_two_charges_of_one_order_are_pointed_out() -> None:
    receipt = of_order(transaction(), transaction(transaction_id="2"))

    assert receipt.transaction_id == "2577715564"
    assert receipt.reason == "2 transactions of this order succeeded"
    assert receipt.discrepancy == f"{receipt.reason}: 2577715564, 2"


def test_a_transaction_is_looked_up_by_its_own_id() -> None:
    records = query.read(200, document(transaction()))

    receipt = query.receipt_of_transaction(records, "2577715564")

    assert receipt is not None
    assert (receipt.outcome, receipt.order_id) == (S, ORDER)


@pytest.mark.parametrize("count", [1, 2])
def test_another_transaction_says_nothing_of_it(count: int) -> None:
    records = query.read(200, document(*[transaction(transaction_id="3")] * count))

    receipt = query.receipt_of_transaction(records, "3" if count > 1 else "4")

    assert receipt is not None
    assert receipt.outcome is U


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (transaction(action(), action("void"), condition="canceled"), S),
        (transaction(), U),
        (transaction(action(), action("void", success="0", code="300")), U),
        (transaction(condition="complete"), R),
        (transaction(action(), action("void"), condition="complete"), U),
        (transaction(condition="canceled"), U),
        (transaction(FAILED, condition="failed"), U),
        (transaction(condition="pending"), U),
    ],
)
def test_a_void_is_seen_in_the_sales_record(record: str, wanted: Outcome) -> None:
    receipt = query.receipt_of_void(query.read(200, document(record)), "2577715564")

    assert receipt is not None
    assert receipt.outcome is wanted


@pytest.mark.parametrize("amount", ["5.00", "-5.00"])
def test_a_refund_is_a_record_of_its_own(amount: str) -> None:
    records = query.read(200, document(transaction(action("refund", amount=amount))))

    receipt = query.receipt_of_order(records, ORDER, kind="refund")

    assert receipt is not None
    assert (receipt.outcome, receipt.amount) == (S, Decimal("5.00"))


@pytest.mark.parametrize(
    "body",
    [
        b"<nm_response><error_response>Nope REFID:1</error_response></nm_response>",
        b"<error_response>Nope REFID:1</error_response>",
    ],
)
def test_an_error_is_named(body: bytes) -> None:
    with pytest.raises(NmiQueryError, match="Nope REFID:1"):
        query.read(200, body)


DTD = (
    b'<!DOCTYPE nm_response [<!ENTITY a "x">]><nm_response>'
    + transaction(action(text="&a;")).encode()
    + b"</nm_response>"
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"response=1&response_code=100",
        b"<html><body/></html>",
        b"<transaction/>",
        b"<nm_response>",
        b"<nm_response>Try again later</nm_response>",
        b"<nm_response><notice/></nm_response>",
        document(transaction())[:-20],
        document(transaction()) + b"<more/>",
        b'<?xml version="1.0" encoding="nonsense"?><nm_response/>',
        b"<nm_response>\xff</nm_response>",
        document("<transaction>" + "<a>" * 100 + "</a>" * 100 + "</transaction>"),
        b"<nm_response>" + b"<transaction/>" * 10_001 + b"</nm_response>",
        b"<nm_response>" + b" " * 300_000 + b"</nm_response>",
        DTD,
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><nm_response/>',
        b"<nm_response>&undeclared;</nm_response>",
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(NmiAnswerError):
        query.read(200, body)


@pytest.mark.parametrize("status", [204, 302, 400, 404, 429, 500, 503])
def test_only_http_200_answers(status: int) -> None:
    with pytest.raises(NmiAnswerError):
        query.read(status, document())


def test_no_receipt_shows_a_stored_card_or_a_number() -> None:
    shown = repr(of_order(transaction(action(text="card 4111 1111 1111 1111\u202e"))))

    assert "canary" not in shown
    assert "1111" not in shown


TEXTS = st.one_of(
    st.sampled_from([*CONDITIONS, "sale", "void", "0", "1", "100", "200", ORDER, "25.00", "USD"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Return well-formed answers with anything in them."""

    def some(*parts: str) -> str:
        return "".join(draw(st.lists(st.sampled_from(parts), max_size=4)))

    def element(name: str) -> str:
        return f"<{name}>{escape(draw(TEXTS))}</{name}>"

    tried = "".join(map(element, ("action_type", "success", "response_code", "amount")))
    actions = [
        f"<action>{tried}</action>",
        action(),
        FAILED,
        action("void"),
    ]
    fields = ("transaction_id", "condition", "order_id", "currency")
    wild = f"<transaction>{''.join(map(element, fields))}{some(*actions)}</transaction>"
    tame = transaction(some(*actions), condition=draw(TEXTS).replace("&", "").replace("<", ""))
    return document(some(wild, tame, element("transaction")))


@given(body=st.one_of(st.binary(max_size=200), documents()))
def test_no_xml_raises_anything_else_and_none_is_a_false_answer(body: bytes) -> None:
    try:
        records = query.read(200, body)
    except NmiError:
        return

    receipt = query.receipt_of_order(records, ORDER)

    assert (receipt is None) == (not records)
    if receipt is None:
        return
    ours = [record for record in records if record.order_id == ORDER]
    said = {(each.kind, each.success) for record in ours for each in record.actions}
    if receipt.outcome in {D, R}:
        assert len(ours) == len(records)
        assert ("sale", "1") not in said
        assert {record.condition for record in ours} == {"failed"}
    if receipt.outcome in {S, V}:
        assert ("sale", "1") in said
        assert receipt.amount is not None
        assert receipt.amount > 0
        assert receipt.currency
        assert receipt.transaction_id
