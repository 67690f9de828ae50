"""What staff do to sessions: through the manager, with permissions, asked first, told honestly."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry

from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.unit.sessions_unified.admin.conftest import (
    LIST,
    act_url,
    actor_of,
    hold,
    last_event,
    make,
    page_url,
    row,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from tests.unit.sessions_unified.admin.conftest import Staff

YES = {"confirmed": "yes"}


def on_page(client: Client, session_id: str, act: str, **data: Any) -> str:
    answer = client.post(act_url(session_id, act), {**YES, **data}, follow=True)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def on_list(client: Client, act: str, ids: list[str], **data: Any) -> str:
    given = {"action": act, "_selected_action": ids, **data}
    answer = client.post(LIST, given, follow=True)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def test_expire_ends_an_unpaid_session(root: Client) -> None:
    session = make()

    shown = on_page(root, session.id, "expire")

    assert f"Expired: {session.id}." in shown
    assert row(session.id).status == "expired"
    event = last_event(session.id)
    assert (event.kind, event.actor) == ("session_expired", actor_of(root))


def test_expire_completes_a_paid_session(root: Client) -> None:
    session = make()
    get_manager().update_session(session.id, {"transaction_id": "tx-1"})

    shown = on_page(root, session.id, "expire")

    assert "Completed rather than expired, because it is paid" in shown
    assert row(session.id).status == "completed"


def test_expire_of_what_is_over_changes_nothing(root: Client) -> None:
    session = make()
    get_manager().expire_session(session.id)
    version = row(session.id).version

    shown = on_page(root, session.id, "expire")

    assert "It was over already" in shown
    assert row(session.id).version == version


@pytest.mark.parametrize(("act", "label"), [("expire", "Expire now"), ("delete", "Delete")])
def test_a_held_session_is_refused(root: Client, act: str, label: str) -> None:
    session = make()
    hold(session.id)

    shown = on_page(root, session.id, act)

    assert f"{label}: refused, because a charge is still open (held): {session.id}." in shown
    assert row(session.id).status == "pending"
    assert row(session.id).deleted_at is None


def test_extend_goes_past_the_absolute_limit_and_is_recorded(root: Client) -> None:
    session = make()

    shown = on_page(root, session.id, "extend", hours="100")

    wanted = get_clock().now() + timedelta(hours=100)
    assert abs(row(session.id).expires_at - wanted) < timedelta(minutes=1)
    assert "Extended until" in shown
    event = last_event(session.id)
    assert (event.kind, event.actor) == ("session_extended", actor_of(root))


def test_extend_never_shortens(root: Client) -> None:
    session = make()

    shown = on_page(root, session.id, "extend", hours="1")

    assert "Not shortened: it ends later already" in shown
    assert row(session.id).expires_at == session.expires_at


def test_an_expired_session_cannot_be_extended(root: Client) -> None:
    session = make()
    get_manager().expire_session(session.id)

    shown = on_page(root, session.id, "extend", hours="1")

    assert "Extend: refused, because it has expired" in shown


@pytest.mark.parametrize("hours", ["", "0", "-1", "721", "many"])
def test_a_bad_number_of_hours_is_asked_again(root: Client, hours: str) -> None:
    session = make()

    shown = on_page(root, session.id, "extend", hours=hours)

    assert "errorlist" in shown
    assert row(session.id).version == session.version


def test_drop_takes_the_copies_and_leaves_the_row(root: Client) -> None:
    session = make()
    get_manager().get_session(session.id)
    tiers = get_tiers()
    assert tiers.redis is not None
    assert tiers.redis.peek(session.id) is not None

    shown = root.post(act_url(session.id, "drop"), follow=True).content.decode()

    assert f"Dropped from the caches: {session.id}." in shown
    assert tiers.redis.peek(session.id) is None
    assert row(session.id).version == session.version
    assert LogEntry.objects.get().get_change_message() == (
        "Drop from the caches: Dropped from the caches."
    )


def test_delete_leaves_a_tombstone(root: Client) -> None:
    session = make()

    shown = on_page(root, session.id, "delete")

    assert f"Deleted: {session.id}." in shown
    tombstone = row(session.id)
    assert tombstone.deleted_at is not None
    assert (tombstone.email, tombstone.customer, tombstone.vault_id) == (None, None, None)
    event = last_event(session.id)
    assert (event.kind, event.actor) == ("session_deleted", actor_of(root))


@pytest.mark.parametrize("act", ["expire", "extend", "delete"])
def test_nothing_is_done_before_it_is_confirmed(root: Client, act: str) -> None:
    session = make()
    before = row(session.id)

    asked = [
        root.get(act_url(session.id, act)),
        root.post(act_url(session.id, act)),
        root.post(LIST, {"action": act, "_selected_action": [session.id]}),
    ]

    assert all("Cancel" in each.content.decode() for each in asked)
    assert row(session.id).version == before.version


@pytest.mark.parametrize("act", ["expire", "extend", "drop"])
def test_changes_need_the_change_permission(staff: Staff, act: str) -> None:
    session = make()
    client = staff("view_unifiedsession", "delete_unifiedsession")

    answer = client.post(act_url(session.id, act), {**YES, "hours": "99"})
    listed = on_list(client, act, [session.id], **YES, hours="99")

    assert answer.status_code == 403
    assert "No action selected" in listed
    assert row(session.id).version == session.version


def test_deleting_needs_the_delete_permission(staff: Staff) -> None:
    session = make()
    client = staff("view_unifiedsession", "change_unifiedsession")

    answers = [
        client.post(act_url(session.id, "delete"), YES),
        client.post(page_url(session.id).replace("/change/", "/delete/"), YES),
    ]
    listed = on_list(client, "delete", [session.id], **YES)

    assert [answer.status_code for answer in answers] == [403, 403]
    assert "No action selected" in listed
    assert row(session.id).deleted_at is None


def test_an_unknown_act_is_not_found(root: Client) -> None:
    session = make()

    assert root.post(act_url(session.id, "promote")).status_code == 404


def test_djangos_own_deletion_cannot_be_reached(root: Client) -> None:
    session = make()

    own = root.post(page_url(session.id).replace("/change/", "/delete/"), {"post": "yes"})
    selected = on_list(root, "delete_selected", [session.id], post="yes")

    assert "Cancel" in own.content.decode()
    assert "No action selected" in selected
    assert row(session.id).deleted_at is None


def test_even_djangos_hooks_leave_a_tombstone(root: Client, rf: Any) -> None:
    from django.contrib import admin
    from django.contrib.auth.models import User

    first, second = make(), make()
    model_admin = admin.site.get_model_admin(UnifiedSession)
    request = rf.get("/")
    request.user = User.objects.get()

    model_admin.delete_model(request, row(first.id))
    model_admin.delete_queryset(request, UnifiedSession.objects.filter(pk=second.id))

    assert row(first.id).deleted_at is not None
    assert row(second.id).deleted_at is not None


def test_a_list_action_tells_of_each(root: Client) -> None:
    free, held, gone = make(), make(), make()
    hold(held.id)
    get_manager().delete_session(gone.id)

    asked = on_list(root, "delete", [free.id, held.id])
    shown = on_list(root, "delete", [free.id, held.id], **YES)

    assert "1 of 2 held by an open charge" in asked
    assert f"Deleted: {free.id}." in shown
    assert f"refused, because a charge is still open (held): {held.id}." in shown
    assert row(free.id).deleted_at is not None
    assert row(held.id).deleted_at is None


def test_many_with_one_outcome_share_a_message(root: Client) -> None:
    ids = [make().id for _ in range(7)]

    shown = on_list(root, "expire", ids, **YES)

    assert "Expired: 7 sessions (" in shown
    assert " and 2 more)." in shown
    assert SessionEvent.objects.filter(kind="session_expired").count() == 7


def test_too_many_at_once_are_refused(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from sessions_unified.admin import acts

    ids = [make().id for _ in range(2)]
    monkeypatch.setitem(acts.EXPIRE.__dict__, "limit", 1)

    shown = on_list(root, "expire", ids, **YES)

    assert "choose at most 1 sessions at once. Nothing was done." in shown
    assert not UnifiedSession.objects.filter(status="expired").exists()


def test_a_lost_drop_is_not_called_done(root: Client, refuse_redis: Callable[[], None]) -> None:
    session = make()
    refuse_redis()

    shown = root.post(act_url(session.id, "drop"), follow=True).content.decode()

    assert "memory only, because Redis did not answer" in shown
