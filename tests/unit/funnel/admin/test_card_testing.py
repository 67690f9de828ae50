"""The list of who was stopped: who may see it, who may let through, and nothing personal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from funnel.admin.card_testing import short
from funnel.payments.card_testing.models import CardTestingStop
from sessions_unified.clock import get_clock

pytestmark = pytest.mark.django_db
URL = "/admin/funnel/cardtestingstop/"


def stop(subject: str = "a" * 64, scope: str = "address", **fields: Any) -> CardTestingStop:
    now = get_clock().now()
    times = {"first_at": now, "last_at": now, "until": now + timedelta(minutes=30)}
    given = times | {"declines": 30, "refusals": 2} | fields
    return CardTestingStop.objects.create(scope=scope, subject=subject, **given)


def signed_in(*permissions: str) -> Client:
    user = User.objects.create_user("sam", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def let_through(client: Client, *stops: CardTestingStop) -> Any:
    data = {"action": "let_through", "_selected_action": [each.pk for each in stops]}
    return client.post(URL, data, follow=True)


def test_only_who_may_see_it_does() -> None:
    assert signed_in().get(URL).status_code == 403


def test_who_may_only_look_cannot_let_through() -> None:
    held = stop()
    client = signed_in("view_cardtestingstop")

    page = client.get(URL)
    let_through(client, held)

    assert "let_through" not in page.content.decode()
    held.refresh_from_db()
    assert held.cleared_at is None


def test_who_may_change_lets_through_once() -> None:
    held, over = stop(), stop("b" * 64, until=get_clock().now() - timedelta(minutes=1))
    client = signed_in("view_cardtestingstop", "change_cardtestingstop")

    first = let_through(client, held, over)
    second = let_through(client, held, over)

    assert "One subject is let through again" in first.content.decode()
    assert "Nothing to do" in second.content.decode()
    held.refresh_from_db()
    over.refresh_from_db()
    assert (held.cleared_by, over.cleared_by) == ("sam", "")


def test_it_is_never_done_by_opening_an_address() -> None:
    held = stop()
    client = signed_in("view_cardtestingstop", "change_cardtestingstop")

    client.get(URL, {"action": "let_through", "_selected_action": held.pk})

    held.refresh_from_db()
    assert held.cleared_at is None


def test_nobody_adds_edits_or_deletes_one() -> None:
    held = stop()
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))

    assert client.get(f"{URL}add/").status_code == 403
    assert client.post(f"{URL}{held.pk}/change/", {"declines": 1}).status_code == 403
    assert client.post(f"{URL}{held.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("state", "shown"), [("stopped", ["stopped"]), ("past", ["over", "through"])]
)
def test_the_filter_tells_what_holds_from_what_is_past(state: str, shown: list[str]) -> None:
    now = get_clock().now()
    stop("stopped", "session")
    stop("over", "session", until=now - timedelta(seconds=1))
    stop("through", "session", cleared_at=now, last_at=now - timedelta(seconds=1))
    client = signed_in("view_cardtestingstop")

    page = client.get(URL, {"state": state}).content.decode()

    found = [each for each in ("stopped", "over", "through") if f'title="{each}"' in page]
    assert found == shown


def test_a_hash_is_shown_short_and_leads_to_its_declines() -> None:
    held = stop("0123456789abcdef" * 4)
    client = signed_in("view_cardtestingstop", "view_chargeattempt")

    page = client.get(URL).content.decode()

    assert f">{short(held.subject)}<" in page
    there = f"/admin/funnel/chargeattempt/?address={held.subject}"
    assert f'href="{there}"' in page
    assert client.get(there).status_code == 200


def test_other_fields_cannot_be_asked_for_by_the_address() -> None:
    client = signed_in("view_cardtestingstop")

    assert client.get(URL, {"cleared_by__startswith": "a"}).status_code in {302, 400}
