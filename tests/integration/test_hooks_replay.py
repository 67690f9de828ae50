"""``manage.py replay_hooks``, what is forgotten, what is measured, and what the doctor says."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from prometheus_client.parser import text_string_to_metric_families

from funnel import tasks
from funnel.hooks import doctor
from funnel.hooks.models import HookDelivery
from sessions_unified.clock import get_clock
from sessions_unified.doctor import Status
from sessions_unified.models import SessionEvent
from sessions_unified.monitoring import exposition
from tests.hook_receiver import SECRET
from tests.hooks import State

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]


@pytest.fixture(autouse=True)
def shop(settings: SettingsWrapper) -> None:
    settings.FUNNEL = settings.FUNNEL | {
        "HOOKS": {"shop": {"URL": "https://example.com/orders", "SECRET": SECRET}}
    }


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("replay_hooks", *arguments, stdout=out)
    return out.getvalue().strip()


def row(state: str = "failed", **fields: Any) -> HookDelivery:
    now = get_clock().now()
    given = {
        "target": "shop",
        "event_id": f"evt_{HookDelivery.objects.count()}",
        "type": "upsell_paid",
        "session_id": "ws_1_a",
        "seq": 5,
        "state": state,
        "tries": 16,
        "next_try_at": now,
        "last_error": "answered 500",
        "occurred_at": now,
        "created_at": now,
        "delivered_at": now if state == "delivered" else None,
    } | fields
    return HookDelivery.objects.create(**given)


def pending() -> set[int]:
    return set(HookDelivery.objects.filter(state="pending").values_list("pk", flat=True))


def test_what_failed_is_due_again_with_all_its_tries() -> None:
    failed, done = row(), row("delivered")

    assert run() == "Made 1 delivery due again."

    failed.refresh_from_db()
    done.refresh_from_db()
    assert (failed.state, failed.tries, failed.last_error) == (State.PENDING, 0, "")
    assert failed.next_try_at <= get_clock().now()
    assert done.state == State.DELIVERED
    assert run("--failed") == "Nothing to deliver again."


def test_a_dry_run_counts() -> None:
    row()
    row()

    assert run("--dry-run") == "Would make 2 deliveries due again."
    assert json.loads(run("--dry-run", "--json")) == {"replayed": 0, "chosen": 2, "dryRun": True}
    assert pending() == set()
    assert json.loads(run("--json")) == {"replayed": 2, "chosen": 2, "dryRun": False}


def test_it_is_narrowed_by_session_target_and_time() -> None:
    old = get_clock().now() - timedelta(days=3)
    wanted = row(session_id="ws_1_b", target="shop")
    row(session_id="ws_1_b", target="books")
    row(session_id="ws_1_c", target="shop")
    row(session_id="ws_1_b", target="shop", occurred_at=old)
    yesterday = (get_clock().now() - timedelta(days=1)).isoformat()

    run("--session", "ws_1_b", "--target", "shop", "--since", yesterday)

    assert pending() == {wanted.pk}


def test_a_day_begins_at_midnight_utc() -> None:
    found = row(occurred_at=get_clock().now().replace(hour=0, minute=0, second=0, microsecond=0))

    run("--since", found.occurred_at.date().isoformat())

    assert pending() == {found.pk}


def test_delivered_ones_of_a_session_are_delivered_again_if_asked() -> None:
    done, failed = row("delivered"), row()

    assert run("--delivered", "--session", "ws_1_a") == "Made 1 delivery due again."

    done.refresh_from_db()
    assert done.delivered_at is None
    assert pending() == {done.pk}
    assert failed.state == State.FAILED


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--delivered"], "needs --session"),
        (["--delivered", "--target", "shop"], "needs --session"),
        (["--target", "nobody"], "no target 'nobody'"),
        (["--since", "yesterday"], "is no time"),
        (["--since", "2026-13-40"], "is no time"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], says: str) -> None:
    row("delivered")

    with pytest.raises(CommandError, match=says):
        run(*arguments)

    assert pending() == set()


def test_a_delivery_is_forgotten_only_when_its_event_is() -> None:
    long_ago = get_clock().now() - timedelta(days=91)
    event = SessionEvent.objects.create(session_id="ws_1_kept", seq=5, kind="x", at=long_ago)
    kept = [
        row("delivered", session_id=event.session_id, delivered_at=long_ago),
        row("delivered"),
        row("failed", created_at=long_ago),
        row("pending", created_at=long_ago),
    ]
    row("delivered", delivered_at=long_ago)

    assert tasks.forget_deliveries() == 1

    assert set(HookDelivery.objects.all()) == set(kept)


def test_a_scrape_says_what_waits_and_what_failed() -> None:
    ago = get_clock().now() - timedelta(seconds=100)
    row("pending", created_at=ago)
    row("pending")
    row("failed", target="of-the-past")

    samples = exposition._ask_database()

    assert samples is not None
    shown = {(each.name, labels): value for each, labels, value in samples}
    assert shown["funnel_hook_pending", ("shop",)] == 2
    assert 99 < shown["funnel_hook_oldest_seconds", ("shop",)] < 200
    assert shown["funnel_hook_failed", ("shop",)] == 0
    assert shown["funnel_hook_failed", ("of-the-past",)] == 1
    families = text_string_to_metric_families(exposition.counted().decode())
    assert "funnel_hook_deliveries" in {family.name for family in families}


@pytest.mark.parametrize(
    ("states", "age", "status", "says"),
    [
        ([], 0, Status.OK, "0 to deliver"),
        (["delivered", "pending"], 20, Status.OK, "1 to deliver, the oldest for 2"),
        (["pending"], 400, Status.WARN, "1 to deliver, the oldest for 40"),
        (["pending", "failed"], 20, Status.WARN, "1 failed in all tries"),
    ],
)
def test_the_doctor_looks_at_hooks(states: list[str], age: int, status: Status, says: str) -> None:
    for state in states:
        row(state, created_at=get_clock().now() - timedelta(seconds=age))

    found = doctor.CHECK.look()

    assert (found.status, found.text.startswith(says)) == (status, True), found


def test_the_doctor_of_a_shop_without_targets(settings: SettingsWrapper) -> None:
    settings.FUNNEL = settings.FUNNEL | {"HOOKS": {}}

    assert doctor.CHECK.look().text == "orders are handed on to nobody"
