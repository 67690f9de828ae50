"""``manage.py prepare_demo``, apart from what the demo's acceptance test shows."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from funnel.management.commands import prepare_demo
from funnel.management.commands.prepare_demo import Command, old_session_at
from funnel.simulation.old_table import living_sessions
from sessions_unified import get_manager
from sessions_unified.models import UnifiedSession
from tests.legacy import put, row
from tests.migrating import migrating_shop, table, to_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_flush")]


@pytest.fixture(autouse=True)
def old_shop(settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        yield


def add_session(
    session_id: str, *, status: str = "processing", step: str = "upsell-1", hours: int = 1
) -> None:
    ends_at = timezone.now() + timedelta(hours=hours)
    place = {"status": status, "current_step": step, "expires_at": ends_at}
    put(table().table, row(id=session_id, **place))


def test_of_several_old_shoppers_the_longest_lived_gets_the_link() -> None:
    add_session("ws_a_short", hours=1)
    add_session("ws_a_long", hours=3)
    add_session("ws_a_middle", hours=2)

    assert old_session_at("processing", "upsell-1") == "ws_a_long"


def test_only_old_shoppers_who_can_go_on_get_links() -> None:
    add_session("ws_a_expired", hours=-1)
    add_session("ws_a_elsewhere", step="upsell-2")
    add_session("ws_a_done", status="completed")
    add_session("ws_a_ournewform0", hours=3)

    assert old_session_at("processing", "upsell-1") is None
    assert [each.id for each in living_sessions()] == ["ws_a_elsewhere"]


def test_who_has_gone_on_here_is_not_where_the_old_table_says() -> None:
    add_session("ws_a_moved", hours=3)
    add_session("ws_a_there", hours=2)
    to_stage("live")
    get_manager().update_session("ws_a_moved", {"current_step": "upsell-2"})
    with connection.cursor() as cursor:
        cursor.execute("UPDATE funnel_sessions SET current_step = 'upsell-1'")

    assert old_session_at("processing", "upsell-1") == "ws_a_there"


def test_a_second_start_changes_nothing_of_the_old_shop() -> None:
    add_session("ws_a_b")
    output = StringIO()

    assert Command(stdout=output).load_old_shop()

    assert output.getvalue() == "The old shop's table funnel_sessions is there: 1 sessions.\n"
    assert not UnifiedSession.objects.exists()


def test_without_code_that_knows_it_there_is_no_old_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_demo.apps, "is_installed", lambda _: False)

    assert not Command().load_old_shop()


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
