"""Deliveries in the admin: who may deliver again, how, and what each row says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from funnel.hooks.models import HookDelivery
from sessions_unified.clock import get_clock
from tests.hook_receiver import SECRET
from tests.hooks import State

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_flush")]

LIST = "admin:funnel_hookdelivery_changelist"


@pytest.fixture(autouse=True)
def shop(settings: SettingsWrapper) -> None:
    settings.SECURE_SSL_REDIRECT = False
    settings.FUNNEL = settings.FUNNEL | {
        "HOOKS": {"shop": {"URL": "https://example.com/orders", "SECRET": SECRET}}
    }


def row(state: str, seq: int, **fields: Any) -> HookDelivery:
    now = get_clock().now()
    given = {
        "target": "shop",
        "event_id": f"evt_{seq}",
        "type": "refunded",
        "session_id": "ws_1_a",
        "seq": seq,
        "state": state,
        "tries": 16,
        "next_try_at": now + timedelta(seconds=90),
        "last_error": "answered 500" if state != "delivered" else "",
        "facts": {"amount": "9.00", "currency": "USD"},
        "occurred_at": now,
        "created_at": now,
    } | fields
    return HookDelivery.objects.create(**given)


def staff(client: Client, *permissions: str) -> User:
    user = User.objects.create_user("bo", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return user


def again(client: Client, chosen: HookDelivery, method: str = "post") -> int:
    url = reverse("admin:funnel_hookdelivery_again", args=[chosen.pk])
    return int(getattr(client, method)(url).status_code)


def test_the_list_says_what_each_waits_for(client: Client) -> None:
    staff(client, "view_hookdelivery")
    row("failed", 3)
    row("pending", 4)
    row("pending", 5, session_id="ws_1_b")
    row("pending", 6, session_id="ws_1_b")
    row("pending", 7, session_id="ws_1_c", target="of-the-past")

    page = client.get(reverse(LIST)).content.decode()

    assert "Waits behind a failed one of its session" in page
    assert "Waits for an earlier one of its session" in page
    assert "Its target is not in HOOKS any more" in page
    assert "One delivery has failed in all tries." in page
    assert page.count("Answered 500") == 2
    assert SECRET not in page


def test_the_failed_are_found_by_their_state(client: Client) -> None:
    staff(client, "view_hookdelivery")
    row("failed", 3)
    row("delivered", 2)

    page = client.get(reverse(LIST), {"state__exact": "failed"}).content.decode()

    assert page.count('name="_selected_action"') == 0  # who may only look has nothing to choose
    assert page.count("su-failed") == 1
    assert "su-completed" not in page
    assert "One delivery has failed" not in page


def test_who_may_only_look_cannot_deliver_again(client: Client) -> None:
    staff(client, "view_hookdelivery")
    failed = row("failed", 3)

    listed = client.get(reverse(LIST)).content.decode()
    chosen = {"action": "deliver_again", "_selected_action": [failed.pk]}
    client.post(reverse(LIST), chosen)

    assert "Deliver again" not in listed
    assert again(client, failed) == 403
    failed.refresh_from_db()
    assert failed.state == State.FAILED


def test_the_button_needs_a_post(client: Client) -> None:
    staff(client, "view_hookdelivery", "replay_hook")
    failed = row("failed", 3)

    assert again(client, failed, "get") == 405

    failed.refresh_from_db()
    assert failed.state == State.FAILED


def test_the_button_delivers_again_and_the_log_says_who(client: Client) -> None:
    user = staff(client, "view_hookdelivery", "replay_hook")
    failed = row("failed", 3)

    status = again(client, failed)

    failed.refresh_from_db()
    assert (status, failed.state, failed.tries) == (302, State.PENDING, 0)
    entry = LogEntry.objects.get(user=user)
    assert entry.object_id == str(failed.pk)
    assert "it was failed" in entry.change_message


def test_the_action_delivers_again_what_failed_or_arrived(client: Client) -> None:
    staff(client, "view_hookdelivery", "replay_hook")
    chosen = [row("failed", 3), row("delivered", 2), row("pending", 4)]
    left = row("failed", 5)
    before = chosen[2].next_try_at

    answer = client.post(
        reverse(LIST),
        {"action": "deliver_again", "_selected_action": [each.pk for each in chosen]},
        follow=True,
    )

    for each in [*chosen, left]:
        each.refresh_from_db()
    assert "2 deliveries are due again" in answer.content.decode()
    assert {each.state for each in chosen} == {State.PENDING}
    assert chosen[2].next_try_at == before
    assert left.state == State.FAILED


def test_one_that_is_not_there_is_not_found(client: Client) -> None:
    staff(client, "view_hookdelivery", "replay_hook")
    gone = row("failed", 3)
    pk = gone.pk
    gone.delete()

    assert again(client, HookDelivery(pk=pk)) == 404
