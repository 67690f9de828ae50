"""Orders handed on to a real receiver: at least once, in order per session, signed."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connection

from funnel import tasks
from funnel.hooks.claiming import claim
from funnel.hooks.consumer import HookConsumer
from funnel.hooks.models import HookDelivery
from funnel.hooks.replaying import replay, select
from funnel.payments.models import ChargeAttempt
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import LogCursor, SessionEvent, UnifiedSession
from sessions_unified.relay import Relay
from sessions_unified.tiers import get_tiers
from tests import hooks
from tests.charges import pay, start
from tests.gateways import ReversingGateway
from tests.hook_receiver import OTHER_SECRET, SECRET, Received, Receiver, receiving
from tests.hooks import State, complete, deliver, deliver_all, make_due, relay, rows, states
from tests.managing import in_threads
from tests.refunds import order_of, refund

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_flush"),
]

BOTH = ["upsell_paid", "session_completed"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def hook(settings: SettingsWrapper, receiver: Receiver) -> Callable[..., None]:
    """Configure targets, the receiver's by default, and let the relay begin."""

    def configure(targets: dict[str, Any] | None = None, **conf: Any) -> None:
        web = {"shop": {"URL": receiver.url, "SECRET": SECRET}}
        settings.FUNNEL = settings.FUNNEL | {"HOOKS": targets or web} | conf
        settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {
            "CONSUMERS": ["funnel.hooks.consumer.HookConsumer"]
        }
        relay()

    configure()
    return configure


@pytest.fixture
def told() -> Iterator[list[Any]]:
    hooks.told.clear()
    yield hooks.told
    hooks.told.clear()


def answered(*codes: int, **headers: str) -> Callable[[Received], tuple[int, dict[str, str]]]:
    """Answer with these, one after the other, and 200 from then on."""
    left = list(codes)
    named = {name.replace("_", "-"): text for name, text in headers.items()}

    def reply(_: Received) -> tuple[int, dict[str, str]]:
        return (left.pop(0), named) if left else (200, {})

    return reply


# From the log to the receiver


def test_a_paid_order_reaches_the_receiver_through_the_relay_and_the_task(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    session_id = complete()

    call_command("run_relay", "--once", verbosity=0)
    delivered = tasks.deliver_hooks()

    assert delivered == 2
    assert receiver.types == BOTH
    upsell, order = (each.event for each in receiver.received)
    assert upsell["data"]["amount"] == "29.99"
    assert upsell["data"]["purpose"] == "upsell:upsell-1-serum"
    assert order["session"]["email"] == "ana@example.org"
    assert order["session"]["status"] == "completed"
    assert order["session"]["products"] == [
        {"id": "SOIL", "name": order["session"]["products"][0]["name"], "quantity": 2}
        | {"price": order["session"]["products"][0]["price"]}
    ]
    taken = ChargeAttempt.objects.filter(session_id=session_id, state="succeeded")
    assert {each["amount"] for each in order["charges"]} == {str(each.money) for each in taken}
    kept = sum(each.money for each in taken)
    assert order["totals"] == {
        "USD": {"charged": str(kept), "refunded": "0.00", "owed": "0.00", "net": str(kept)}
    }
    assert upsell["sequence"] < order["sequence"]


def test_a_refund_from_the_admin_reaches_the_receiver(
    settings: SettingsWrapper, hook: Callable[..., None], receiver: Receiver
) -> None:
    hook(GATEWAY="tests.gateways.ReversingGateway")
    ReversingGateway.reset()
    session_id = complete()
    refund(order_of(session_id))

    relay()
    deliver_all()

    assert receiver.types == [*BOTH, "refunded"]
    told = receiver.received[-1].event
    charge = next(each for each in told["charges"] if each["purpose"] == "checkout")
    assert told["data"]["amount"] == charge["refunded"] == charge["amount"]
    assert charge["state"] == "refunded"
    assert [each["amount"] for each in charge["refunds"]] == [charge["amount"]]
    assert told["totals"]["USD"]["refunded"] == charge["amount"]
    assert told["totals"]["USD"]["net"] == "29.99"


def test_what_is_handled_twice_is_written_once(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    complete()
    relay()
    before = [row.pk for row in rows()]

    LogCursor.objects.filter(pk="hooks").update(position=0, xid=0)
    relay()
    hooks.handle_again()

    assert [row.pk for row in rows()] == before
    assert len(before) == 2
    deliver_all()
    assert receiver.types == BOTH


def test_an_upsell_that_completes_is_told_before_the_end(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    session_id = start()
    pay(session_id)
    manager = get_manager()
    with manager.lock_session(session_id) as locked:
        locked.update(
            {"status": "completed", "current_step": "success"},
            kind="upsell_succeeded",
            data={"purpose": "upsell:x", "amount": "1.00", "currency": "USD"},
            checks_flow=False,
        )

    relay()
    deliver_all()

    assert receiver.types == BOTH
    assert len({row.seq for row in rows()}) == 1
    assert len(set(receiver.ids)) == 2


def test_a_new_consumer_does_not_begin_with_old_orders(
    settings: SettingsWrapper, receiver: Receiver
) -> None:
    complete()
    long_ago = get_clock().now() - timedelta(days=400)
    with_trigger_off(lambda: SessionEvent.objects.update(at=long_ago))
    settings.FUNNEL = settings.FUNNEL | {"HOOKS": {"shop": {"URL": receiver.url, "SECRET": SECRET}}}

    relay()

    assert rows() == []


def with_trigger_off(work: Callable[[], object]) -> None:
    table = SessionEvent._meta.db_table
    name = "sessions_unified_append_only"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        work()
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {name}")


def test_two_targets_are_told_and_one_that_is_down_does_not_stop_the_other(
    hook: Callable[..., None], receiver: Receiver, told: list[Any]
) -> None:
    hook(
        {
            "shop": {"URL": receiver.url, "SECRET": SECRET},
            "books": {"CALLABLE": "tests.hooks.remember"},
        }
    )
    receiver.answer = answered(*[500] * 99)
    complete()

    relay()
    deliver_all(3)

    assert [event.type for event in told] == BOTH
    assert {row.state for row in rows(target="shop")} == {State.PENDING}
    assert set(receiver.types) == {"upsell_paid"}


def test_a_callable_gets_a_value_that_it_cannot_change(
    hook: Callable[..., None], told: list[Any]
) -> None:
    hook({"books": {"CALLABLE": "tests.hooks.remember"}})
    complete()

    relay()
    deliver_all()

    event = told[-1]
    assert event.session["amount"] == str(event.session["amount"])
    assert "ana@example.org" not in repr(event)
    with pytest.raises(TypeError):
        event.session["email"] = "x"
    with pytest.raises(AttributeError):
        event.type = "x"


def test_what_a_callable_raises_is_a_failed_try_without_its_message(
    hook: Callable[..., None],
) -> None:
    hook({"books": {"CALLABLE": "tests.hooks.refuse"}}, HOOK_TRIES=2)
    complete()

    relay()
    deliver_all()

    first, second = rows()
    assert (first.state, first.tries) == (State.FAILED, 2)
    assert first.last_error.startswith("raised LookupError in hooks.py:")
    assert "ana@" not in first.last_error
    assert (second.state, second.tries) == (State.PENDING, 0)


# Order


def test_a_failing_one_holds_back_its_own_session_only(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    bad, good = complete(), complete()
    receiver.answer = lambda request: (500 if bad in request.id else 200, {})

    relay()
    deliver_all(4)

    assert [each.event["type"] for each in receiver.received if good in each.id] == BOTH
    assert {each.event["type"] for each in receiver.received if bad in each.id} == {"upsell_paid"}


def test_a_failed_one_blocks_until_a_replay_which_goes_in_order(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    hook(HOOK_TRIES=3)
    complete()
    receiver.answer = answered(500, 500, 500)
    relay()
    deliver_all()
    assert states() == {"upsell_paid": "failed", "session_completed": "pending"}
    assert receiver.types == ["upsell_paid"] * 3

    assert replay(select()) == 1
    deliver_all()

    assert states() == {"upsell_paid": "delivered", "session_completed": "delivered"}
    assert receiver.types[3:] == BOTH


def test_an_event_that_the_relay_has_not_come_to_yet_is_waited_for(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    complete()
    relay()
    upsell, order = rows()
    upsell_event = SessionEvent.objects.get(session_id=upsell.session_id, seq=upsell.seq)
    upsell.delete()
    # As if a batch had ended between two events whose versions are in another order.
    LogCursor.objects.filter(pk="hooks").update(position=upsell_event.position - 1)
    LogCursor.objects.filter(pk="hooks").update(xid=upsell_event.xid)

    deliver()
    assert receiver.received == []
    relay()
    deliver_all()

    assert receiver.types == BOTH
    assert order.state == State.PENDING


def test_two_deliverers_at_once_send_each_once_and_in_order(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    sessions = [complete() for _ in range(6)]
    seen: dict[str, int] = {}
    lock = threading.Lock()

    def flaky(request: Received) -> tuple[int, dict[str, str]]:
        with lock:
            seen[request.id] = seen.get(request.id, 0) + 1
        return (500 if seen[request.id] == 1 and "upsell" in request.id else 200), {}

    receiver.answer = flaky
    relay()

    for _ in range(6):
        make_due()
        assert in_threads(deliver, deliver, deliver) == []

    assert {row.state for row in rows()} == {State.DELIVERED}
    for session_id in sessions:
        mine = [each.event["type"] for each in receiver.received if session_id in each.id]
        assert mine == ["upsell_paid", "upsell_paid", "session_completed"]


# Failures


def test_a_deliverer_that_dies_between_the_post_and_the_mark_delivers_again(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    complete()
    relay()

    class Killed(BaseException):
        pass

    class Dying(hooks.Deliverer):
        def _settle(self, *_: Any) -> None:
            raise Killed

    with pytest.raises(Killed):
        Dying().run()
    assert receiver.types == ["upsell_paid"]
    assert deliver() == {}  # its lease still stands, and the next one waits for it
    deliver_all()

    assert receiver.types == ["upsell_paid", *BOTH]
    assert receiver.ids[0] == receiver.ids[1]


def test_a_deliverer_whose_lease_has_passed_changes_nothing(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    complete()
    relay()
    seen: list[str] = []

    def slow_then_taken(request: Received) -> tuple[int, dict[str, str]]:
        seen.append(request.id)
        if len(seen) == 1:  # while the first still waits, its lease ends and another delivers
            make_due()
            assert in_threads(deliver) == []
            connection.close()
            return 500, {}
        return 200, {}

    receiver.answer = slow_then_taken
    done = deliver()

    assert done["overtaken"] == 1
    assert states() == {"upsell_paid": "delivered", "session_completed": "delivered"}


def test_a_late_failure_does_not_end_the_lease_of_who_delivers_by_now(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    complete()
    relay()
    leased: list[HookDelivery | None] = []

    def claimed_by_another(_: Received) -> tuple[int, dict[str, str]]:
        make_due()
        now = get_clock().now()
        assert in_threads(lambda: leased.append(claim({"shop": 40}, now=now))) == []
        connection.close()
        return 500, {}

    receiver.answer = claimed_by_another
    done = deliver()

    (other,) = leased
    assert other is not None
    row = rows()[0]
    assert done["overtaken"] == 1
    assert (row.state, row.tries, row.last_error) == (State.PENDING, 2, "")
    assert row.next_try_at == other.next_try_at


def test_a_failure_is_tried_again_ever_later(hook: Callable[..., None], receiver: Receiver) -> None:
    complete()
    relay()
    receiver.answer = answered(500, 502, 500)
    pauses = []
    for _ in range(3):
        make_due()
        before = get_clock().now()
        deliver()
        (row, _) = rows()
        pauses.append((row.next_try_at - before).total_seconds())

    assert row.tries == 3
    assert row.last_error == "answered 500"
    assert [round(pause / 2.5) for pause in pauses] == [1, 2, 4]


def test_retry_after_is_honoured_up_to_an_hour(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    complete()
    relay()

    receiver.answer = answered(503, Retry_After="120")
    before = get_clock().now()
    deliver()
    first = rows()[0].next_try_at - before
    receiver.answer = answered(429, Retry_After="Fri, 01 Jan 2100 00:00:00 GMT")
    make_due()
    before = get_clock().now()
    deliver()
    second = rows()[0].next_try_at - before

    assert 119 < first.total_seconds() < 130
    assert 3590 < second.total_seconds() < 3610


def test_gone_fails_at_once(hook: Callable[..., None], receiver: Receiver) -> None:
    complete()
    relay()
    receiver.answer = answered(410)

    deliver()

    (row, _) = rows()
    assert (row.state, row.tries) == (State.FAILED, 1)
    assert row.last_error == "answered 410: it wants no more"


def test_a_redirect_is_not_followed(hook: Callable[..., None], receiver: Receiver) -> None:
    complete()
    relay()
    receiver.answer = answered(307, Location="/elsewhere")

    deliver()

    assert [each.path for each in receiver.received] == ["/orders"]
    (row, _) = rows()
    assert row.state == State.PENDING
    assert row.last_error == "answered 307, a redirect: they are not followed"


def test_a_receiver_that_takes_too_long_is_a_failed_try(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    hook(HOOK_TIMEOUT_SECONDS=0.3)
    complete()
    relay()
    may_answer = threading.Event()

    def hang(_: Received) -> tuple[int, dict[str, str]]:
        may_answer.wait(60)
        return 200, {}

    receiver.answer = hang
    began = time.monotonic()
    deliver()
    took = time.monotonic() - began
    may_answer.set()

    assert took < 15
    assert rows()[0].last_error.startswith("no answer")
    assert rows()[0].state == State.PENDING


def test_a_receiver_that_never_ends_its_answer_keeps_nobody(
    hook: Callable[..., None], dripping: str
) -> None:
    hook({"shop": {"URL": dripping, "SECRET": SECRET}}, HOOK_TIMEOUT_SECONDS=0.5)
    complete()
    relay()

    deliver()

    assert rows()[0].last_error == "no answer within 0.5 s"
    assert [each.name for each in threading.enumerate() if each.name == "sessions-measuring"] == []


@pytest.fixture
def dripping() -> Iterator[str]:
    """Return the address of a server that sends a byte of its headers now and then, for ever."""
    stop = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        client, _ = server.accept()
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not stop.wait(0.05):
                client.sendall(b"a")

    thread = threading.Thread(target=drip)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    stop.set()
    thread.join(60)
    server.close()


def test_nobody_listens(hook: Callable[..., None]) -> None:
    hook({"shop": {"URL": "http://127.0.0.1:9/", "SECRET": SECRET}})
    complete()
    relay()

    deliver()

    assert rows()[0].last_error == "no answer: ConnectError"


def test_one_that_kills_every_worker_ends_as_failed(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    hook(HOOK_TRIES=2)
    complete()
    relay()
    HookDelivery.objects.filter(type="upsell_paid").update(tries=2)

    deliver()

    assert receiver.received == []
    assert rows()[0].state == State.FAILED


def test_a_target_that_fails_leaves_the_run_to_the_others(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    for _ in range(5):
        complete()
    relay()
    receiver.answer = answered(*[500] * 99)

    done = deliver()

    assert done == {"retried": 3}


def test_a_target_that_is_taken_away_waits_until_it_is_back(
    hook: Callable[..., None], receiver: Receiver, told: list[Any]
) -> None:
    complete()
    relay()
    hook({"books": {"CALLABLE": "tests.hooks.remember"}})
    deliver()
    assert receiver.received == []

    hook()
    deliver()

    assert receiver.types == BOTH


def test_a_target_with_wrong_settings_waits_and_the_log_goes_on(
    hook: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    hook({"shop": {"URL": "http://orders.example.com/", "SECRET": SECRET}})
    complete()

    relay()
    deliver()

    assert [row.tries for row in rows()] == [0, 0]
    assert "not https" in caplog.text


# Signatures and secrets


def test_every_secret_signs_and_a_changed_body_does_not_verify(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    hook({"shop": {"URL": receiver.url, "SECRET": f"{SECRET}, {OTHER_SECRET}"}})
    complete()
    relay()

    deliver()

    first = receiver.received[0]
    assert first.is_signed_by(SECRET)
    assert first.is_signed_by(OTHER_SECRET)
    assert not first.is_signed_by(SECRET.replace("whsec_Y", "whsec_Z"))
    tampered = Received(
        path="/", headers=first.headers, body=first.body.replace(b'"29.99"', b'"99.99"')
    )
    assert tampered.body != first.body
    assert not tampered.is_signed_by(SECRET)
    stale = Received(path="/", headers=first.headers | {"webhook-timestamp": "1"}, body=first.body)
    assert not stale.is_signed_by(SECRET)
    assert first.id == first.event["id"]


def test_r28_no_vault_id_token_or_secret_is_in_rows_bodies_or_logs(
    hook: Callable[..., None], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    session_id = complete()
    vault = ChargeAttempt.objects.filter(session_id=session_id).first()
    assert vault is not None
    assert vault.vault_id
    row = UnifiedSession.objects.get(pk=session_id)
    row.metadata = {"gift": True, "legacy": {"vaultId": "vault-of-old"}}
    row.payment_token = "tok_canary"
    row.save()
    receiver.answer = answered(500, X_Echo="ana@example.org")
    relay()
    deliver_all()

    sealed = UnifiedSession.objects.values_list("vault_id", flat=True).get(pk=session_id)
    bodies = b" ".join(each.body for each in receiver.received).decode()
    kept = " ".join(str(vars(each)) for each in rows())
    for secret in (vault.vault_id, sealed, "vault-of-old", "tok_", "legacy"):
        assert secret not in bodies
    for secret in (vault.vault_id, sealed, "tok_", "ana@example.org", SECRET[6:], "whsec"):
        assert secret not in kept
        assert secret not in caplog.text
    assert '"gift":true' in bodies


def test_a_deleted_session_is_told_without_the_person(
    hook: Callable[..., None], receiver: Receiver
) -> None:
    session_id = complete()
    relay()
    get_manager().delete_session(session_id)

    deliver_all()

    assert receiver.types == BOTH
    assert {each.event["session"] for each in receiver.received} == {None}
    assert receiver.received[-1].event["charges"][0]["amount"]
    assert "ana@example.org" not in receiver.received[-1].body.decode()


def test_the_consumer_reads_the_log_in_the_transaction_of_its_cursor(
    hook: Callable[..., None],
) -> None:
    complete()
    cursor = LogCursor.objects.get(pk="hooks")
    place = (cursor.xid, cursor.position)

    class Failing(HookConsumer):
        def handle(self, entries: Any) -> None:
            super().handle(entries)
            raise RuntimeError

    assert not Relay([Failing()], get_tiers()).drain()

    cursor.refresh_from_db()
    assert rows() == []
    assert (cursor.xid, cursor.position) == place
