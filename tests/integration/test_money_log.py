"""The money log adds up, whatever was charged, refunded, lost, told late or told twice."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from funnel.exceptions import RefundRefusedError
from funnel.payments import lines
from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.lines import ADJUSTMENT, PRODUCT, Line
from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log import recording
from funnel.payments.money_log.checking import check
from funnel.payments.money_log.models import MoneyEntry
from funnel.payments.money_log.statement import statement
from funnel.payments.refunds.models import Refund
from funnel.payments.refunds.noting import Told, note_reversal
from funnel.payments.refunds.recovering import ask_due
from funnel.payments.refunds.refunding import give_back, request
from funnel.payments.refunds.settling import settle_refund
from funnel.payments.settling import settle
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionNotFoundError
from tests.charges import answer, attempts, paid, pay, start
from tests.gateways import ReversingGateway, taking
from tests.refunds import audit_refunds, booked, order_of, refund, staff, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import DataObject
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

SERUM = "upsell-1-serum"


@pytest.fixture(autouse=True)
def gateway(settings: SettingsWrapper) -> Iterator[type[ReversingGateway]]:
    yield from taking(ReversingGateway, settings)


def an_attempt(**given: Any) -> ChargeAttempt:
    """Write an attempt of a session that is gone, as most tests here need no session."""
    now = get_clock().now()
    values = {
        "session_id": f"ws_1_{ChargeAttempt.objects.count()}",
        "purpose": "checkout",
        "step": "processing",
        "amount": Decimal(100),
        "currency": "USD",
        "gateway": "sandbox",
        "gateway_order_id": f"fs-{ChargeAttempt.objects.count()}",
        "lease_until": now,
        "created_at": now,
    } | given
    return ChargeAttempt.objects.create(**values)


def succeed(attempt: ChargeAttempt) -> None:
    receipt = Receipt(outcome=Outcome.SUCCEEDED, transaction_id=f"t-{attempt.pk}")
    with pytest.raises(SessionNotFoundError):
        settle(get_manager(), attempt.pk, receipt)
    attempt.refresh_from_db()


def line(amount: str, **given: Any) -> dict[str, Any]:
    values = {"kind": PRODUCT, "item": "SOIL", "name": "Soil", "quantity": 1} | given
    return Line(**values, amount=Decimal(amount)).to_json()


# What is booked


def test_every_line_of_a_charge_is_booked_once() -> None:
    kept = [line("70"), line("40", item="LAMP"), line("-10", kind=ADJUSTMENT, item="")]
    attempt = an_attempt(lines=kept)

    succeed(attempt)
    recording.book_attempt(attempt, actor="again")

    entries = MoneyEntry.objects.order_by("line")
    assert [(e.line, e.item, e.amount) for e in entries] == [
        (0, "SOIL", 70),
        (1, "LAMP", 40),
        (2, "", -10),
    ]
    assert {(e.kind, e.currency, e.purpose, e.actor) for e in entries} == {
        ("charge", "USD", "checkout", "sandbox")
    }
    assert check(attempt.session_id) == []


def test_the_order_and_its_extras_are_told_apart() -> None:
    session_id = paid()
    answer(session_id, SERUM)
    refund(attempts(session_id)[1])

    found = statement(session_id)

    assert [(each.kind, each.item, each.name) for each in found.items] == [
        ("product", "SOIL", "Living Soil 5L"),
        ("offer", SERUM, "Root Serum"),
    ]
    soil, serum = (each.balance for each in found.items)
    assert (soil.charged, soil.refunded, soil.owed, soil.net) == (25, 0, 0, 25)
    assert (serum.charged, serum.refunded, serum.owed) == (Decimal("29.99"), Decimal("29.99"), 0)
    assert total(session_id).net == 25
    audit_refunds(session_id)


@pytest.mark.parametrize(
    "kept",
    [
        [],
        {},
        "lines",
        [None],
        [{}],
        [line("99.99")],
        [line("50"), line("50.01")],
        [line("100") | {"amount": "a hundred"}],
        [line("100") | {"amount": "NaN"}],
        [line("100") | {"amount": "sNaN"}],
        [line("100") | {"amount": None}],
        [line("100") | {"quantity": 2**40}],
        [line("100") | {"quantity": "1"}],
        [line("100") | {"kind": "x" * 17}],
        [line("100") | {"name": None}],
        [line("99.995"), line("0.005")],
        [line("1e15"), line("-999999999999900")],
    ],
    ids=lambda kept: str(kept)[:60],
)
def test_what_cannot_be_split_is_booked_whole(kept: object) -> None:
    attempt = an_attempt(lines=kept)

    succeed(attempt)

    assert attempt.state == "surplus"
    (entry,) = MoneyEntry.objects.all()
    assert (entry.item_kind, entry.item, entry.amount) == ("order", "", 100)
    assert check(attempt.session_id) == []


def test_an_older_extra_is_booked_as_the_offer() -> None:
    attempt = an_attempt(purpose=f"upsell:{SERUM}")
    other = an_attempt(purpose="upsell:gone")

    succeed(attempt)
    succeed(other)

    assert list(MoneyEntry.objects.order_by("pk").values_list("item_kind", "item", "name")) == [
        ("offer", SERUM, "Root Serum"),
        ("offer", "gone", "gone"),
    ]


def test_a_log_that_refuses_does_not_stop_a_success(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise DatabaseError

    with monkeypatch.context() as patch:
        patch.setattr(recording, "_book_difference", refuse)
        session_id = paid()

    assert order_of(session_id).state == "succeeded"
    assert "The money log refused ChargeAttempt" in caplog.text
    (problem,) = check(session_id)
    assert "the log has 0, the attempt 25" in problem
    assert recording.book_missing() == 1
    assert check(session_id) == []


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    book, calls = recording._book_difference, []

    def fail_once(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise OperationalError
        book(*args)

    monkeypatch.setattr(recording, "_book_difference", fail_once)
    session_id = paid()

    assert booked(order_of(session_id)) == [("charge", "25")]


def test_a_void_that_the_gateway_tells_at_once_leaves_nothing() -> None:
    session_id = start()
    pay(session_id, "tok_timeout_charged")

    settle(get_manager(), order_of(session_id).pk, Receipt(outcome=Outcome.VOIDED))

    assert order_of(session_id).state == "voided"
    assert statement(session_id).totals == {}
    assert check(session_id) == []


def test_a_charge_found_wrong_is_taken_off_the_books_and_put_back() -> None:
    attempt = an_attempt()
    succeed(attempt)
    for state, settled_at, review_since in (
        ("needs_review", None, get_clock().now()),
        ("surplus", get_clock().now(), None),
    ):
        attempt.state, attempt.settled_at = state, settled_at
        attempt.review_since = review_since
        attempt.save()
        recording.book_attempt(attempt, actor="test")
        assert check(attempt.session_id) == []

    assert booked(attempt) == [("charge", "100"), ("void", "-100"), ("void", "100")]
    assert total(attempt.session_id).charged == 100


# Statements


def test_what_may_be_charged_is_named_apart() -> None:
    session_id = start()
    pay(session_id, "tok_timeout_charged")

    found = statement(session_id)

    assert (found.items, found.totals) == ((), {})
    (charge,) = found.open_charges
    assert (charge.purpose, charge.state, charge.amount) == ("checkout", "unknown", 25)
    assert check(session_id) == []


def test_what_another_shop_charged_is_counted_where_it_is_known() -> None:
    now, given = get_clock().now(), {"gateway": "imported", "state": "succeeded"}
    order = an_attempt(**given, settled_at=now, session_id="ws_1_x", amount=Decimal("12.5"))
    an_attempt(**given, settled_at=now, session_id="ws_1_x", purpose="upsell:old", amount=None)

    found = statement("ws_1_x")

    (item,) = found.items
    assert (item.is_imported, item.name, str(item.balance.charged)) == (True, "The order", "12.50")
    assert found.unpriced == ("upsell:old",)
    assert check("ws_1_x") == []
    recording.book_attempt(order, actor="test")
    assert not MoneyEntry.objects.exists()


def test_a_charge_from_before_the_log_is_on_the_statement_and_can_be_booked() -> None:
    attempt = an_attempt(state="surplus", settled_at=get_clock().now(), transaction_id="t")

    assert total(attempt.session_id).charged == 100
    assert "the log has 0" in check(attempt.session_id)[0]
    assert recording.book_missing(batch_size=1) == 1
    assert recording.book_missing() == 0
    assert total(attempt.session_id).charged == 100
    assert check(attempt.session_id) == []


def test_a_refund_books_a_charge_from_before_the_log_first() -> None:
    attempt = an_attempt(state="surplus", settled_at=get_clock().now(), transaction_id="t")

    refund(attempt)

    assert booked(attempt) == [("charge", "100"), ("refund", "-100")]
    audit_refunds(attempt.session_id)


def test_yen_have_no_decimals_and_dinars_three() -> None:
    yen = an_attempt(currency="JPY", amount=Decimal(1200), session_id="ws_1_y")
    dinars = an_attempt(currency="KWD", amount=Decimal("1.250"), session_id="ws_1_y", purpose="b")
    for attempt in (yen, dinars):
        succeed(attempt)

    refund(yen, lines={0: Decimal(200)})
    refund(dinars, lines={0: Decimal("0.125")})

    found = statement("ws_1_y").to_json()["totals"]
    assert found["JPY"] == {"charged": "1200", "refunded": "200", "owed": "1000", "net": "1000"}
    assert found["KWD"] == {
        "charged": "1.250",
        "refunded": "0.125",
        "owed": "1.125",
        "net": "1.125",
    }
    audit_refunds("ws_1_y")


def test_the_check_finds_what_was_tampered_with() -> None:
    session_id = paid()
    order = order_of(session_id)
    refund(order, lines={0: Decimal(5)})
    MoneyEntry.objects.create(
        session_id=session_id,
        attempt=order,
        kind="void",
        purpose="checkout",
        line=0,
        item_kind="product",
        amount=Decimal("0.01"),
        currency="EUR",
        actor="mallory",
        at=get_clock().now(),
    )
    Refund.objects.update(amount=4)

    problems = "\n".join(check(session_id))

    assert "the log has 25.0100, the attempt 25.0000 USD" in problems
    assert "entries in another currency than USD" in problems
    assert "the log has 5.0000, the refund 4.0000 USD" in problems
    assert "The statement's net is" in problems


# The command


def run(*args: str) -> str:
    out = StringIO()
    call_command("money_log", *args, stdout=out)
    return out.getvalue()


def test_the_command_prints_a_table() -> None:
    session_id = paid()
    answer(session_id, SERUM)
    refund(order_of(session_id), lines={0: Decimal(5)})

    printed = run(session_id)

    rows = [row.split() for row in printed.splitlines()]
    assert rows == [
        ["charged", "refunded", "owed", "net"],
        ["Living", "Soil", "5L", "25.00", "5.00", "0.00", "20.00", "USD"],
        ["Root", "Serum", "29.99", "0.00", "0.00", "29.99", "USD"],
        ["Total", "54.99", "5.00", "0.00", "49.99", "USD"],
    ]


def test_the_command_prints_json() -> None:
    session_id = start()
    pay(session_id, "tok_timeout_charged")

    found = json.loads(run(session_id, "--json"))

    assert found["session"] == session_id
    assert found["mayBeCharged"] == [
        {"purpose": "checkout", "state": "unknown", "currency": "USD", "amount": "25.00"}
    ]
    assert found["problems"] == []


def test_the_command_names_what_is_not_in_the_totals() -> None:
    now = get_clock().now()
    given = {"gateway": "imported", "session_id": "ws_1_x", "amount": None}
    an_attempt(**given, state="succeeded", settled_at=now)
    an_attempt(**given, purpose="upsell:old", state="needs_review", review_since=now)

    printed = run("ws_1_x")

    assert "Paid before the import, amount not on record: checkout" in printed
    assert "May be charged: upsell:old, an amount not on record USD (needs_review)" in printed


def test_the_command_fails_where_the_books_do_not_add_up() -> None:
    attempt = an_attempt(state="surplus", settled_at=get_clock().now())

    with pytest.raises(CommandError, match="It does not add up"):
        run(attempt.session_id)
    assert run("--book-missing") == "1 charges booked.\n"
    assert "100.00" in run(attempt.session_id)


def test_the_command_asks_for_a_session_that_was_charged() -> None:
    with pytest.raises(CommandError, match="No charge of ws_1_none"):
        run("ws_1_none")
    with pytest.raises(CommandError, match="Name a session"):
        run()


# Any sequence


CURRENCIES = {"USD": Decimal("0.01"), "JPY": Decimal(1), "KWD": Decimal("0.001")}


def _draw_charge(data: DataObject, currency: str) -> ChargeAttempt:
    unit = CURRENCIES[currency]
    amounts = data.draw(st.lists(st.integers(1, 5000), min_size=1, max_size=4))
    rebate = data.draw(st.integers(0, sum(amounts) - 1))
    kept = [line(str(n * unit), item=f"p{n}") for n in amounts]
    kept += [line(str(-rebate * unit), kind=ADJUSTMENT, item="")] if rebate else []
    number = ChargeAttempt.objects.count()
    attempt = an_attempt(
        currency=currency,
        session_id="ws_1_any",
        purpose=f"upsell:{number}",
        amount=lines.total(lines.from_json(kept), currency),
        lines=data.draw(st.sampled_from([kept, []])),
    )
    if data.draw(st.integers(0, 5)):
        succeed(attempt)
    return attempt


def _draw_refund(data: DataObject, attempt: ChargeAttempt, unit: Decimal) -> None:
    asked: dict[int, Decimal] | None = None
    if data.draw(st.booleans()):
        asked = {data.draw(st.integers(0, 3)): data.draw(st.integers(-1, 6000)) * unit}
    given = {"reason": "x", "lines": asked, "is_void": data.draw(st.booleans())}
    try:
        if data.draw(st.integers(0, 3)):
            give_back(staff(), attempt.pk, **given)
        else:
            request(staff(), attempt.pk, **given)  # and the process dies
    except RefundRefusedError:
        return


def _draw_telling(data: DataObject, attempt: ChargeAttempt, unit: Decimal) -> None:
    ours = [each.gateway_order_id for each in attempt.refunds.all()]
    kind = data.draw(st.sampled_from(["refund", "void"]))
    told = Told(
        kind=kind,
        transaction_id=data.draw(st.sampled_from(["c1", "c2", "c3"])),
        amount=data.draw(st.none() | st.integers(1, 9000).map(lambda n: n * unit)),
        order_id=data.draw(st.sampled_from([None, "theirs", *ours])),
    )
    note_reversal(get_manager(), attempt, told)


def _draw_answer(data: DataObject) -> None:
    def lose(_: Receipt) -> Receipt:
        raise TimeoutError

    def refuse(_: Receipt) -> Receipt:
        return Receipt(outcome=Outcome.REJECTED)

    ReversingGateway.answer = data.draw(st.sampled_from([None, lose, refuse]))


class TestAnySequence(TestCase):  # type: ignore[misc]  # untyped base
    """Charges, refunds, lost answers, dead processes, and tellings in any order and number."""

    @given(data=st.data())
    def test_it_adds_up(self, data: DataObject) -> None:
        ReversingGateway.reset()
        currency = data.draw(st.sampled_from(list(CURRENCIES)))
        unit = CURRENCIES[currency]
        charges = [_draw_charge(data, currency) for _ in range(data.draw(st.integers(1, 3)))]
        hours = 0
        for _ in range(data.draw(st.integers(0, 8))):
            attempt = data.draw(st.sampled_from(charges))
            match data.draw(st.sampled_from(["refund", "tell", "ask", "charge", "repeat"])):
                case "refund":
                    _draw_answer(data)
                    _draw_refund(data, attempt, unit)
                case "tell":
                    _draw_telling(data, attempt, unit)
                case "ask":
                    hours += 1
                    ask_due(get_clock().now() + timedelta(hours=hours))
                case "charge" if attempt.state == "claimed":
                    succeed(attempt)
                case "repeat":
                    for each in attempt.refunds.all():
                        settle_refund(get_manager(), each.pk, Receipt(outcome=Outcome.UNKNOWN))

            assert check("ws_1_any") == []
        self._closed(charges)

    def _closed(self, charges: list[ChargeAttempt]) -> None:
        for attempt in charges:
            attempt.refresh_from_db()
            amounts = attempt.refunds.filter(state="succeeded").values_list("amount", flat=True)
            if attempt.state in {"refunded", "voided", "surplus"}:
                is_closed = attempt.state != "surplus"
                assert is_closed == (sum(amounts) >= (attempt.amount or 0))
