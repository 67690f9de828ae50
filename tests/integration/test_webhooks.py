"""``POST /api/webhooks/nmi``: signed events, in any order, any number of times."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, OperationalError
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from funnel.payments.money_log.statement import statement
from funnel.payments.recovery.sweeping import sweep
from funnel.payments.refunds.models import Refund
from funnel.payments.sandbox.models import SandboxCharge
from funnel.payments.webhooks import handling
from funnel.payments.webhooks.models import GatewayEvent
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent, UnifiedSession
from tests.charges import (
    State,
    answer,
    answers,
    attempts,
    paid,
    pay,
    position,
    session_of,
    start,
    states,
)
from tests.gateways import ScriptedGateway, taking
from tests.sweeps import make_due

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse
    from pytest_django.fixtures import SettingsWrapper

    from funnel.payments.gateway import Sale
    from funnel.payments.models import ChargeAttempt

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

KEY, OLD_KEY = "webhook-key", "webhook-key-of-last-year"
URL = "/api/webhooks/nmi"
ZIPPED = {"Content-Encoding": "gzip"}
TELLS = ("success", "failure", "unknown", "nonsense")
LOST = "tok_timeout_charged"
NEVER = "tok_timeout_uncharged"


class NmiLike(ScriptedGateway):
    """The scripted gateway under the name that webhooks come for."""

    name = "nmi"


@pytest.fixture
def gateway(settings: SettingsWrapper) -> Iterator[type[NmiLike]]:
    """Take the money by a gateway named nmi; two keys may sign."""
    yield from taking(NmiLike, settings, NMI={"WEBHOOK_KEYS": [KEY, OLD_KEY]})


def event_of(attempt: ChargeAttempt, kind: str, **changes: Any) -> dict[str, Any]:
    """Return an event as NMI sends it of an attempt; ``changes`` are of its body or action."""
    charge = SandboxCharge.objects.filter(order_id=attempt.gateway_order_id).first()
    code = {"success": "100", "failure": "200"}.get(kind.rpartition(".")[2], "420")
    action = {
        "amount": str(attempt.money),
        "action_type": kind.partition(".")[0],
        "success": "1" if code == "100" else "0",
        "response_code": code,
        "response_text": "SUCCESS" if code == "100" else "DECLINE",
    }
    body = {
        "transaction_id": charge.transaction_id if charge else "991",
        "order_id": attempt.gateway_order_id,
        "currency": attempt.currency,
        "customerid": attempt.vault_id,
        "card": {"cc_number": "411111******1111"},
    }
    action |= {name: changes[name] for name in changes.keys() & action.keys()}
    body |= {name: changes[name] for name in changes.keys() - action.keys()}
    return {
        "event_id": f"{kind}-{attempt.pk}",
        "event_type": f"transaction.{kind}",
        "event_body": {**body, "action": action},
    }


def signed(body: bytes, key: str = KEY, moment: str = "1700000000") -> str:
    message = moment.encode() + b"." + body
    return f"t={moment},s={hmac.new(key.encode(), message, hashlib.sha256).hexdigest()}"


def post(body: bytes, signature: str | None = None, **headers: str) -> HttpResponse:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    content_type = headers.pop("content_type", "application/json")
    given_headers = {"Webhook-Signature": signature or signed(body), **headers}
    response: HttpResponse = client.post(
        URL, body, content_type=content_type, headers=given_headers
    )
    return response


def send(event: dict[str, Any]) -> tuple[int, str]:
    response = post(json.dumps(event).encode())
    return response.status_code, json.loads(response.content).get("result", "")


def lost(card: str = LOST, **options: Any) -> str:
    session_id = start()
    assert pay(session_id, card, **options).status == 202
    return session_id


def only(session_id: str) -> ChargeAttempt:
    (attempt,) = attempts(session_id)
    return attempt


# Who may speak


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "t=1700000000",
        "s=" + "0" * 64,
        "t=1700000000,s=" + "0" * 64,
        signed(b"{}"),
        signed(b"", "another-key"),
    ],
)
def test_what_is_not_signed_leaves_no_trace(signature: str, django_assert_num_queries: Any) -> None:
    session_id = lost()
    body = json.dumps(event_of(only(session_id), "sale.success")).encode()

    with django_assert_num_queries(0):
        response = post(body, signature or "x")

    assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")
    assert not GatewayEvent.objects.exists()
    assert states(session_id) == [State.UNKNOWN]


def test_an_old_key_signs_until_it_is_taken_away(settings: SettingsWrapper) -> None:
    session_id = lost()
    body = json.dumps(event_of(only(session_id), "sale.success")).encode()

    before = post(body, signed(body, OLD_KEY)).status_code
    settings.FUNNEL = settings.FUNNEL | {"NMI": {"WEBHOOK_KEYS": [KEY]}}

    assert (before, post(body, signed(body, OLD_KEY)).status_code) == (200, 401)


@pytest.mark.parametrize("keys", [[], [""]])
def test_without_keys_there_is_nothing_here(settings: SettingsWrapper, keys: list[str]) -> None:
    settings.FUNNEL = settings.FUNNEL | {"NMI": {"WEBHOOK_KEYS": keys}}

    response = post(b"{}", signed(b"{}", ""))

    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


def test_a_body_that_is_too_long_is_not_hashed() -> None:
    response = post(b" " * (64 * 1024 + 1))

    assert response.status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"event_id": 1}', b"\xff"])
def test_a_signed_body_that_is_no_event_is_malformed(body: bytes) -> None:
    response = post(body)

    assert (response.status_code, json.loads(response.content)["code"]) == (400, "malformed_event")
    assert not GatewayEvent.objects.exists()


def test_neither_content_type_nor_accept_matter_and_no_cookie_is_set() -> None:
    session_id = lost()
    body = json.dumps(event_of(only(session_id), "sale.success")).encode()

    response = post(body, content_type="text/plain", Accept="text/html")

    assert (response.status_code, response.cookies) == (200, {})


def test_only_posts_are_taken() -> None:
    assert Client().get(URL).status_code == 405


# What they say


def test_a_success_settles_the_charge() -> None:
    session_id = lost(key="k")

    assert send(event_of(only(session_id), "sale.success")) == (200, "handled")
    assert states(session_id) == [State.SUCCEEDED]
    assert position(session_id) == "processing/upsell-1"
    assert answers(session_id) == {"k": 200}
    event = SessionEvent.objects.get(session_id=session_id, kind="charge_succeeded")
    assert event.actor == "gateway:nmi"


def test_what_is_kept_of_it_opens_nothing() -> None:
    session_id = lost()
    attempt = only(session_id)

    send(event_of(attempt, "sale.success"))

    row = GatewayEvent.objects.get()
    kept = json.dumps([row.facts, row.outcome, only(session_id).response])
    assert attempt.vault_id is not None
    assert attempt.vault_id not in kept
    assert "1111" not in kept
    assert row.outcome == "Succeeded. Charge: succeeded"


def test_a_webhook_that_beats_the_browser(gateway: type[NmiLike]) -> None:
    session_id = start()
    told: list[tuple[int, str]] = []

    def tell(receipt: Any) -> Any:
        told.append(send(event_of(only(session_id), "sale.success")))
        return receipt

    gateway.change = tell

    reply = pay(session_id, key="k")

    assert told == [(200, "handled")]
    assert (reply.status, states(session_id)) == (200, [State.SUCCEEDED])
    assert answers(session_id) == {"k": 200}
    assert SessionEvent.objects.filter(session_id=session_id, kind="charge_succeeded").count() == 1
    assert len(gateway.calls) == SandboxCharge.objects.count() == 1


def test_whoever_is_beaten_answers_as_every_repetition_does(gateway: type[NmiLike]) -> None:
    session_id = paid()
    attempts_before = set(attempts(session_id))

    def tell(receipt: Any) -> Any:
        (attempt,) = set(attempts(session_id)) - attempts_before
        send(event_of(attempt, "sale.success"))
        return receipt

    gateway.change = tell

    first = answer(session_id, "upsell-1-serum", key="k")
    again = answer(session_id, "upsell-1-serum", key="k")

    assert (first.status, first.body) == (again.status, again.body) == (200, first.body)


def test_a_webhook_of_a_charge_whose_answer_says_declined_is_believed(
    gateway: type[NmiLike],
) -> None:
    session_id = start()

    def settle_first(sale: Sale) -> None:
        send(event_of(only(session_id), "sale.failure"))

    gateway.meanwhile = settle_first

    reply = pay(session_id, "tok_decline")

    assert (reply.status, states(session_id)) == (402, [State.DECLINED])
    assert position(session_id) == "pending/checkout"


@pytest.mark.parametrize(
    "changes", [{"amount": "0.01"}, {"amount": "2500.00"}, {"currency": "EUR"}]
)
def test_a_success_of_another_amount_or_currency_is_never_settled(changes: dict[str, str]) -> None:
    session_id = lost()

    send(event_of(only(session_id), "sale.success", **changes))

    attempt = only(session_id)
    assert (attempt.state, position(session_id)) == (State.NEEDS_REVIEW, "processing/processing")
    assert str(next(iter(changes.values()))) in attempt.discrepancy


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("sale.success", {"amount": ""}),
        ("sale.success", {"amount": "25,00"}),
        ("sale.success", {"currency": ""}),
        ("sale.success", {"transaction_id": ""}),
        ("sale.unknown", {}),
        ("sale.failure", {"response_code": "420"}),
        ("sale.failure", {"response_code": "430"}),
        ("sale.failure", {"response_code": ""}),
        ("sale.failure", {"response_code": "300", "response_text": "Duplicate transaction"}),
        ("refund.success", {}),
    ],
)
def test_what_says_too_little_settles_nothing_and_asks(kind: str, changes: dict[str, str]) -> None:
    session_id = lost()

    status, _ = send(event_of(only(session_id), kind, **changes))

    attempt = only(session_id)
    assert (status, attempt.state) == (200, State.UNKNOWN)
    assert attempt.next_check_at is not None
    assert attempt.next_check_at <= get_clock().now()
    assert sweep() == {"settled": 1}


@pytest.mark.parametrize(
    ("code", "text", "state"),
    [
        ("200", "DECLINE", State.DECLINED),
        ("263", "Declined", State.DECLINED),
        ("300", "Invalid card", State.REJECTED),
        ("461", "Unsupported", State.REJECTED),
    ],
)
def test_a_failure_is_told_by_its_code(code: str, text: str, state: str) -> None:
    session_id = lost(NEVER)

    send(event_of(only(session_id), "sale.failure", response_code=code, response_text=text))

    assert (states(session_id), position(session_id)) == ([state], "pending/checkout")


@pytest.mark.parametrize("kind", ["auth.success", "capture.success", "settlement.batch.complete"])
def test_other_types_are_kept_and_change_nothing(kind: str) -> None:
    session_id = lost()

    assert send(event_of(only(session_id), kind)) == (200, "handled")
    assert states(session_id) == [State.UNKNOWN]
    assert GatewayEvent.objects.get().handled_at is not None


def test_an_order_that_is_not_ours_is_said_to_be_none() -> None:
    session_id = lost()
    event = event_of(only(session_id), "sale.success", order_id="another-shop-1")

    assert send(event) == (200, "handled")
    assert "No charge of ours" in GatewayEvent.objects.get().outcome
    assert states(session_id) == [State.UNKNOWN]


def test_a_success_of_a_deleted_session_is_kept_for_a_refund() -> None:
    session_id = lost()
    event = event_of(only(session_id), "sale.success")
    UnifiedSession.objects.filter(pk=session_id).update(holds=0)
    get_manager().delete_session(session_id)

    assert send(event) == (200, "handled")
    assert states(session_id) == [State.SURPLUS]


# Again, and out of order


def test_a_duplicate_is_acted_on_once() -> None:
    session_id = lost()
    event = event_of(only(session_id), "sale.success")
    send(event)
    version = session_of(session_id).version

    assert send(event) == (200, "duplicate")
    assert session_of(session_id).version == version
    assert GatewayEvent.objects.count() == 1


def test_a_void_that_overtakes_its_sale() -> None:
    session_id = lost(key="k")
    attempt = only(session_id)

    send(event_of(attempt, "void.success"))
    send(event_of(attempt, "sale.success"))

    row = UnifiedSession.objects.get(pk=session_id)
    assert (states(session_id), row.holds) == ([State.VOIDED], 0)
    assert position(session_id) == "pending/checkout"
    assert answers(session_id) == {"k": 402}


def test_a_void_of_a_paid_order_is_noted_as_given_back() -> None:
    session_id = start()
    pay(session_id)
    attempt = only(session_id)

    for _ in range(2):
        send(event_of(attempt, "void.success"))

    assert states(session_id) == [State.VOIDED]
    assert [each.state for each in Refund.objects.all()] == [Refund.State.SUCCEEDED]


def test_a_void_that_is_told_twice_of_what_never_counted_books_and_announces_nothing() -> None:
    session_id = lost()
    event = event_of(only(session_id), "void.success")
    send(event)
    version = session_of(session_id).version

    assert send(event | {"event_id": "again"}) == (200, "handled")

    attempt = only(session_id)
    assert (attempt.state, attempt.discrepancy) == (State.VOIDED, "")
    assert not Refund.objects.exists()
    assert session_of(session_id).version == version
    assert statement(session_id).totals == {}


def test_the_void_of_a_refund_is_noted_for_staff_by_either_of_its_names() -> None:
    for number, name in enumerate(("order_id", "transaction_id")):
        session_id = start()
        pay(session_id)
        attempt = only(session_id)
        sent = {"transaction_id": f"r-{number}", "order_id": f"console-{number}"}
        send(
            event_of(
                attempt,
                "refund.success",
                amount="10.00",
                **sent | {"order_id": attempt.gateway_order_id},
            )
        )
        Refund.objects.filter(attempt=attempt).update(gateway_order_id=sent["order_id"])

        send(
            event_of(
                attempt,
                "void.success",
                **{"order_id": "", "transaction_id": ""} | {name: sent[name]},
            )
        )

        attempt = only(session_id)
        assert "void that does not fit" in attempt.discrepancy
        assert attempt.state == State.SUCCEEDED
        assert str(Refund.objects.get(attempt=attempt).money) == "10.00"


@pytest.mark.parametrize(("amount", "noted"), [("10.00", "10.00"), ("-10.00", "10.00"), ("", "")])
def test_a_refund_of_the_console_is_of_as_much_as_it_says(amount: str, noted: str) -> None:
    session_id = start()
    pay(session_id)

    send(event_of(only(session_id), "refund.success", amount=amount, transaction_id="r-1"))

    attempt = only(session_id)
    assert [str(each.money) for each in Refund.objects.all()] == [noted] * bool(noted)
    assert attempt.state == State.SUCCEEDED
    assert bool(attempt.discrepancy) == (not noted)


def test_a_success_that_is_told_after_all_of_it_went_back_buys_nothing() -> None:
    session_id = lost(NEVER)
    attempt = only(session_id)
    send(event_of(attempt, "sale.failure"))

    send(event_of(attempt, "refund.success", transaction_id="r-1"))
    send(event_of(attempt, "sale.success"))

    assert states(session_id) == [State.REFUNDED]
    assert position(session_id) == "pending/checkout"
    assert session_of(session_id).transaction_id is None
    assert str(statement(session_id).totals["USD"].net) == "0.00"


def test_a_refund_that_overtakes_its_sale_waits_for_it() -> None:
    session_id = lost()
    attempt = only(session_id)
    refund = event_of(attempt, "refund.success", amount="10.00", transaction_id="r-1")

    waiting = send(refund)
    send(event_of(attempt, "sale.success"))
    later = send(refund)

    assert (waiting, later) == ((200, "waiting"), (200, "handled"))
    assert states(session_id) == [State.SUCCEEDED]
    assert str(Refund.objects.get().money) == "10.00"


def test_a_failure_after_a_success_changes_nothing_and_is_noted() -> None:
    session_id = start()
    pay(session_id)

    send(event_of(only(session_id), "sale.failure"))

    assert states(session_id) == [State.SUCCEEDED]
    assert only(session_id).discrepancy == "The gateway says: declined"


@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.permutations(["sale.success", "sale.unknown", "void.success"]),
    st.lists(st.integers(0, 2), max_size=3),
)
def test_no_order_and_no_repetition_changes_the_end(
    gateway: type[NmiLike], order: list[str], again: list[int]
) -> None:
    session_id = lost()
    attempt = only(session_id)
    events = [event_of(attempt, kind) for kind in order]

    for event in [*events, *(events[number] for number in again)]:
        assert send(event)[0] == 200
    make_due(session_id=session_id)
    sweep()

    row = UnifiedSession.objects.get(pk=session_id)
    assert (states(session_id), row.holds) == ([State.VOIDED], 0)
    assert only(session_id).discrepancy == ""


# What nobody sends


ODD = st.sampled_from(
    (
        *(None, True, 0, -1, 1.5, 2**70, 1e300, [], {}, [[]], {"amount": "25.30"}),
        *("", " ", "\0", "\u200b", "\U0001f600", "x" * 300, "1e3", "-5", "NaN", "25,30", "1" * 40),
        *("25.00", "25.30", "USD", "usd", "EUR", "100", "200", "300", "success", "sale"),
    )
)
KINDS = [f"{kind}.{result}" for kind in ("sale", "void", "refund", "auth") for result in TELLS]
FIELDS = ("transaction_id", "order_id", "currency", "customerid", "card", "action", "condition")


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(KINDS),
    names=st.fixed_dictionaries({}, optional={"event_id": ODD, "event_type": ODD}),
    of_body=st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=3),
    of_action=st.dictionaries(
        st.sampled_from(("amount", "currency", "success", "response_code", "response_text")),
        ODD,
        max_size=3,
    ),
)
def test_whatever_is_signed_is_answered_and_settles_only_what_fits(
    gateway: type[NmiLike],
    kind: str,
    names: dict[str, Any],
    of_body: dict[str, Any],
    of_action: dict[str, Any],
) -> None:
    session_id = lost(NEVER)
    own = {"transaction_id": f"991{only(session_id).pk}"}
    event = event_of(only(session_id), kind, **own | of_body)
    if isinstance(event["event_body"]["action"], dict):
        event["event_body"]["action"] = {**event["event_body"]["action"], **of_action}
    event |= names

    response = post(json.dumps(event).encode())
    again = post(json.dumps(event).encode())

    assert response.status_code in {200, 400}, response.content
    assert again.status_code == response.status_code
    attempt = only(session_id)
    if attempt.state == State.SUCCEEDED:
        assert event["event_type"] == "transaction.sale.success"
        assert event["event_body"]["order_id"] == attempt.gateway_order_id
        assert event["event_body"]["action"]["amount"] == str(attempt.money)


@pytest.mark.parametrize(
    "content_type",
    ["", "nonsense", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"],
)
def test_a_signed_body_is_read_raw_whatever_it_is_called(content_type: str) -> None:
    body = b'{"event_id": "e", "event_type": "t", "event_body": {}, "a": "%s&b=c"}' % (b"+" * 9)

    assert post(body, content_type=content_type).status_code == 200


def test_a_compressed_body_is_judged_as_it_was_sent() -> None:
    body = gzip.compress(b'{"event_id": "e", "event_type": "t", "event_body": {}}')

    answers = [post(each, signed(body), **ZIPPED).status_code for each in (body, body + b" ")]

    assert answers == [400, 401]


def test_a_signature_is_of_one_moment_and_one_body() -> None:
    body = b'{"event_id": "e", "event_type": "t", "event_body": {}}'
    good = signed(body)
    moment, _, digest = good.partition(",s=")
    forged = [
        f"{moment}0,s={digest}",
        f"{moment},{moment},s={digest}",
        f"t=,s={digest}",
        f"{moment},s={digest[:-1]}",
        f"{moment},s={digest}0",
        f"{moment}, s = {digest}",
        f"{moment};s={digest}",
        f"{good},{'s=' + '0' * 64 + ','}" + "x" * 1024,
        f"{moment},s=" + "\u0660" * 64,
    ]

    assert {post(body, each.encode().decode("latin-1")).status_code for each in forged} == {401}
    assert post(body, f"s={'0' * 64},{good}").status_code == 200
    assert post(body + b" ", good).status_code == 401


# When it fails


@pytest.mark.parametrize("error", [OperationalError, IntegrityError])
def test_a_failure_is_sent_again_and_then_acted_on(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    session_id = lost()
    event = event_of(only(session_id), "sale.success")

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(handling, "settle", fail)
    response = post(json.dumps(event).encode())
    monkeypatch.undo()

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert GatewayEvent.objects.get().handled_at is None
    assert send(event) == (200, "handled")
    assert states(session_id) == [State.SUCCEEDED]


def test_a_database_that_takes_nothing_asks_to_send_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session_id = lost()
    body = json.dumps(event_of(only(session_id), "sale.success")).encode()

    def fail(*_: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(handling, "store", fail)

    assert post(body).status_code == 503


def test_what_was_stored_and_not_acted_on_is_taken_up_by_the_sweeper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = [lost(), lost()]
    handle = handling.handle
    monkeypatch.setattr(handling, "handle", lambda _: False)
    for session_id in sessions:
        send(event_of(only(session_id), "sale.success"))
    monkeypatch.setattr(handling, "handle", handle)

    early = handling.handle_left()
    GatewayEvent.objects.update(received_at=get_clock().now() - timedelta(minutes=2))
    broken = GatewayEvent.objects.order_by("pk").first()
    settle = handling.settle

    def fail_once(manager: Any, attempt_id: int, *args: Any) -> Any:
        if attempt_id == only(sessions[0]).pk:
            raise RuntimeError
        return settle(manager, attempt_id, *args)

    monkeypatch.setattr(handling, "settle", fail_once)
    first = handling.handle_left()
    monkeypatch.undo()

    assert broken is not None
    assert (early, first, handling.handle_left()) == (0, 1, 1)
    assert [states(each) for each in sessions] == [[State.SUCCEEDED], [State.SUCCEEDED]]
