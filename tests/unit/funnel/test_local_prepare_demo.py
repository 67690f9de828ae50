"""``manage.py prepare_demo``, apart from what the demo's acceptance test shows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from funnel.management.commands import prepare_demo
from funnel.management.commands.prepare_demo import Command, imported_at
from sessions_unified.models import SessionEvent, UnifiedSession

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db


def add_session(
    session_id: str,
    *,
    status: str = "processing",
    step: str = "upsell-1",
    hours: int = 1,
    kind: str = "session_imported",
    deleted_at: datetime | None = None,
) -> None:
    now = timezone.now()
    UnifiedSession.objects.create(
        id=session_id,
        status=status,
        current_step=step,
        currency="USD",
        created_at=now,
        updated_at=now,
        expires_at=now + timedelta(hours=hours),
        deleted_at=deleted_at,
    )
    SessionEvent.objects.create(session_id=session_id, seq=1, kind=kind, actor="test", at=now)


def test_of_several_imported_shoppers_the_longest_lived_gets_the_link() -> None:
    add_session("ws_a_short", hours=1)
    add_session("ws_a_long", hours=3)
    add_session("ws_a_middle", hours=2)

    assert imported_at("processing", "upsell-1") == "ws_a_long"


def test_only_imported_shoppers_who_can_go_on_get_links() -> None:
    add_session("ws_a_new", kind="session_created")
    add_session("ws_a_expired", hours=-1)
    add_session("ws_a_deleted", deleted_at=timezone.now())
    add_session("ws_a_elsewhere", step="upsell-2")
    add_session("ws_a_done", status="completed")

    assert imported_at("processing", "upsell-1") is None


def test_links_name_the_place_in_the_funnel(monkeypatch: pytest.MonkeyPatch) -> None:
    add_session("ws_a_first", step="upsell-1")
    add_session("ws_a_unpaid", status="pending", step="checkout")
    monkeypatch.setattr(
        prepare_demo, "captured", lambda _, session_id: ["A link:", f" http://shop/{session_id} "]
    )

    assert Command().links() == (
        ("before paying", "http://shop/ws_a_unpaid"),
        ("at the first offer", "http://shop/ws_a_first"),
    )


def test_a_link_command_that_prints_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_demo, "captured", lambda *_: [])

    with pytest.raises(CommandError, match="session_link printed no address for ws_a"):
        Command().link("ws_a")


def test_the_staff_account_gets_a_new_password_each_time() -> None:
    first = Command().new_password()
    second = Command().new_password()

    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.is_staff
    assert admin.check_password(second)
    assert not admin.check_password(first)


def test_an_account_that_was_demoted_can_enter_again() -> None:
    User.objects.create_user("admin", is_active=False)

    Command().new_password()

    admin = User.objects.get(username="admin")
    assert admin.is_active
    assert admin.is_staff
    assert admin.is_superuser


def test_the_report_is_required() -> None:
    with pytest.raises(CommandError, match="--report"):
        call_command("prepare_demo")
