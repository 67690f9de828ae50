"""What every answer means: never an exception, and never a "declined" that was not said."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from funnel.payments.gateway import Outcome
from funnel.payments.nmi.wire import REFUND, VOID, classify

S, D, R, U = Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.REJECTED, Outcome.UNKNOWN
ORDER = "fs-1"


def answer(**given: str) -> bytes:
    """Return an approval; the arguments change it."""
    fields = {
        "response": "1",
        "responsetext": "SUCCESS",
        "authcode": "123456",
        "transactionid": "2577715564",
        "avsresponse": "",
        "cvvresponse": "M",
        "orderid": ORDER,
        "type": "sale",
        "response_code": "100",
    }
    return urlencode(fields | given).encode()


def outcome(body: bytes, status: int = 200) -> Outcome:
    return classify(status, body, order_id=ORDER).outcome


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            (
                b"response=1&responsetext=SUCCESS&authcode=123456&transactionid=2577715564"
                b"&avsresponse=&cvvresponse=M&orderid=&type=sale&response_code=100"
            ),
            S,
        ),
        (
            (
                b"response=2&responsetext=DECLINE&authcode=&transactionid=2577715978"
                b"&avsresponse=&cvvresponse=M&orderid=&type=sale&response_code=200"
            ),
            D,
        ),
        (
            (
                b"response=3&responsetext=Invalid Credit Card Number REFID:3150032552&authcode="
                b"&transactionid=&avsresponse=&cvvresponse=&orderid=&type=&response_code=300"
            ),
            R,
        ),
    ],
)
def test_the_documented_answers(body: bytes, wanted: Outcome) -> None:
    assert outcome(body) is wanted


DECLINES = [
    *("200", "201", "202", "203", "204", "220", "221", "222", "223", "224", "225", "226"),
    *("240", "250", "251", "252", "253", "260", "261", "262", "263", "264"),
]
REJECTIONS = ["300", "410", "411", "440", "441", "460", "461"]
DOUBTS = ["400", "420", "421", "430"]


@pytest.mark.parametrize(
    ("response", "code", "text", "wanted"),
    [
        ("1", "100", "SUCCESS", S),
        *(("2", code, "DECLINE", D) for code in DECLINES),
        ("2", "299", "Some new reason", D),
        *(("3", code, "Something is wrong REFID:3150032552", R) for code in REJECTIONS),
        ("3", "301", "Rate limit exceeded", R),
        ("3", "301", "Something is wrong", U),
        *(("3", code, "Something is wrong", U) for code in DOUBTS),
        # The code contradicts the response.
        *(("1", code, "SUCCESS", U) for code in [*DECLINES, *REJECTIONS, *DOUBTS, "301"]),
        *(("2", code, "DECLINE", U) for code in ["100", *REJECTIONS, *DOUBTS, "301"]),
        *(("3", code, "Something is wrong", U) for code in ["100", *DECLINES]),
        # Codes that nobody has documented.
        *(("3", code, "Something is wrong", U) for code in ["302", "399", "412", "500", "999"]),
        *(("1", code, "SUCCESS", U) for code in ["101", "", "1", "0100", "\uff11\uff10\uff10"]),
        *(("2", code, "DECLINE", U) for code in ["", "20", "2000", "\uff1200", "abc", "200 "]),
        # Texts that take the certainty away.
        ("3", "300", "", U),
        ("3", "300", "Duplicate transaction REFID:3150032552", U),
        ("3", "430", "Duplicate transaction at processor", U),
        ("2", "200", "DUPLICATE TRANSACTION REFID:1", U),
        ("1", "100", "Duplicate transaction REFID:1", U),
        ("3", "300", "Processor timed out", U),
        ("3", "300", "Service unavailable", U),
        ("3", "300", "Payment token has already been used REFID:1", R),
    ],
)
def test_every_code(response: str, code: str, text: str, wanted: Outcome) -> None:
    body = answer(response=response, response_code=code, responsetext=text)
    no_transaction = answer(
        response=response, response_code=code, responsetext=text, transactionid=""
    )

    assert outcome(no_transaction if code == "301" else body) is wanted


@pytest.mark.parametrize("response", ["0", "4", "7", "", " 2", "2 ", "02", "+2", "\uff12", "true"])
def test_a_response_that_is_none_of_three_is_unknown(response: str) -> None:
    code = "200"

    assert outcome(answer(response=response, response_code=code)) is U


DECLINE = answer(response="2", response_code="200", responsetext="DECLINE")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\x00",
        b"&",
        b"=",
        b"response",
        b"response=",
        b"response=2",
        b"response=2&response_code=",
        b"response=1&responsetext=SUCC",
        b"response=1&response=2&transactionid=1&response_code=200",
        DECLINE + b"&response=2",
        DECLINE + b"&response_code=200",
        DECLINE + b"&orderid=fs-1",
        DECLINE + b"&responsetext=",
        DECLINE + b"&",
        DECLINE + b"&junk",
        DECLINE + b"&note=100%",
        DECLINE + b"&note=%zz",
        DECLINE + b"&note=%ff",
        DECLINE + b"&note=\xff",
        DECLINE.replace(b"&", b";"),
        DECLINE.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + DECLINE,
        b"<!doctype html><h1>Bad gateway</h1>",
        b"<html><body>response=2&response_code=200</body></html>",
        b'{"response": 2, "response_code": 200}',
        b"<nm_response><response>2</response></nm_response>",
        DECLINE + b"&note=" + b"x" * 100_000,
        DECLINE + b"&a=1" * 300,
        bytes(range(256)),
    ],
)
def test_a_malformed_body_is_unknown(body: bytes) -> None:
    assert outcome(body) is U


@pytest.mark.parametrize("cut", range(len(DECLINE)))
def test_no_part_of_a_decline_is_one(cut: int) -> None:
    assert outcome(DECLINE[:cut]) is U


@pytest.mark.parametrize("transaction_id", ["", " ", "1 2", "x" * 65, "1;drop", "\uff11"])
def test_an_approval_without_a_transaction_is_unknown(transaction_id: str) -> None:
    receipt = classify(200, answer(transactionid=transaction_id))

    assert receipt.outcome is U
    assert receipt.transaction_id is None


@pytest.mark.parametrize("change", [{"orderid": "fs-2"}, {"orderid": "FS-1"}, {"type": "refund"}])
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"response": "2", "response_code": "200"},
        {"response": "3", "response_code": "300", "responsetext": "Wrong"},
    ],
)
def test_an_answer_to_something_else_is_unknown_and_lends_no_transaction(
    change: dict[str, str], said: dict[str, str]
) -> None:
    receipt = classify(200, answer(**said | change), order_id=ORDER)

    assert receipt.outcome is U
    assert receipt.transaction_id is None


@pytest.mark.parametrize("status", [201, 204, 301, 302, 400, 401, 403, 404, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [answer(), DECLINE, answer(response="3", response_code="300")])
def test_only_http_200_answers(status: int, body: bytes) -> None:
    assert outcome(body, status) is U


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"", R),
        (b"Too many requests", R),
        (b"<html>429</html>", R),
        (
            answer(response="3", response_code="301", responsetext="Rate limit", transactionid=""),
            R,
        ),
        (answer(response="3", response_code="301", responsetext="Rate limit"), U),
        (answer(response="3", response_code="300", responsetext="Wrong"), U),
        (answer(), U),
        (DECLINE, U),
        (b"response=1&broken=%", U),
    ],
)
def test_http_429_says_that_nothing_was_executed_unless_its_body_says_more(
    body: bytes, wanted: Outcome
) -> None:
    assert outcome(body, 429) is wanted


@pytest.mark.parametrize("kind", [VOID, REFUND])
def test_reversals_are_judged_alike(kind: str) -> None:
    assert classify(200, answer(type=kind), kind=kind).outcome is S
    assert classify(200, answer(), kind=kind).outcome is U


def test_a_decline_names_its_transaction_and_order() -> None:
    receipt = classify(200, DECLINE, order_id=ORDER)

    assert (receipt.transaction_id, receipt.order_id) == ("2577715564", ORDER)
    assert receipt.reason == "DECLINE (200)"


def test_our_order_is_called_as_we_called_it() -> None:
    name = "fs-25f844990644286d827accf9"

    assert classify(200, answer(orderid=name), order_id=name).order_id == name


def test_only_what_may_be_shown_is_kept() -> None:
    body = answer(
        customer_vault_id="v-canary-1",
        ccnumber="4111111111111111",
        responsetext="V-CANARY-1 4111-1111 1111.1111 tok_canary\x00\u202e REFID:3150032552",
        authcode="5431111111111111",
        cvvresponse="4111111111111111",
        orderid="v-canary-1",
    )

    receipt = classify(200, body, hidden=("v-canary-1", "tok_canary", ""))

    assert set(receipt.response) == {
        *("response", "response_code", "responsetext", "type"),
        *("authcode", "avsresponse", "cvvresponse"),
    }
    assert receipt.response["responsetext"] == "[hidden] [number] [hidden]  REFID:3150032552"
    assert receipt.response["authcode"] == receipt.response["cvvresponse"] == "[number]"
    assert "canary" not in repr(receipt).lower()
    assert "1111" not in repr(receipt)


def test_long_texts_are_cut_after_they_are_cleaned() -> None:
    receipt = classify(200, answer(responsetext="x" * 195 + "4111111111111111"))

    assert receipt.response["responsetext"] == "x" * 195 + "[numb"
    assert "4111" not in receipt.reason


ATOMS = st.sampled_from(
    [
        *(b"response=1", b"response=2", b"response=3", b"response_code=100", b"response_code=200"),
        *(b"response_code=300", b"response_code=421", b"responsetext=DECLINE", b"transactionid=1"),
        *(b"responsetext=Duplicate+transaction+REFID:1", b"orderid=fs-1", b"orderid=fs-2"),
        *(b"type=sale", b"type=refund", b"&", b"=", b"%", b"%00", b"\xff", b"<html>", b"\x00", b""),
    ]
)
BODIES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(str.encode),
    st.lists(st.one_of(ATOMS, st.binary(max_size=4)), max_size=8).map(b"&".join),
)


@given(status=st.one_of(st.just(200), st.integers(100, 599)), body=BODIES)
@example(status=200, body=b"response=2&response_code=200")
@example(status=429, body=b"\xff")
def test_no_bytes_raise_and_none_are_a_false_decline(status: int, body: bytes) -> None:
    receipt = classify(status, body, order_id=ORDER)

    parts = body.strip().split(b"&")
    if receipt.outcome is D:
        assert status == 200
        assert [part for part in parts if part.startswith(b"response=")] == [b"response=2"]
        assert b"uplicate" not in body
        assert b"orderid=fs-2" not in parts
    if receipt.outcome is S:
        assert status == 200
        assert parts.count(b"response=1") == 1
        assert b"response=2" not in parts
    texts = [receipt.reason, *receipt.response.values()]
    assert all(len(text) <= 250 and "\x00" not in text for text in texts)


@given(
    fields=st.dictionaries(
        st.sampled_from(["response", "response_code", "responsetext", "transactionid", "type"]),
        st.text(max_size=30),
    )
)
def test_no_encoded_values_raise_and_none_are_a_false_decline(fields: dict[str, str]) -> None:
    receipt = classify(200, urlencode(fields, errors="replace").encode(), order_id=ORDER)

    if receipt.outcome is D:
        assert fields["response"] == "2"
    if receipt.outcome is S:
        assert fields["response"] == "1"
