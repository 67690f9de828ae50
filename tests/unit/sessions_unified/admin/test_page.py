"""One session's page: everything is there, nothing can be edited, secrets are never shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from sessions_unified import get_manager
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from sessions_unified.tiers.base import Copy
from tests.unit.sessions_unified.admin.conftest import (
    LIST,
    PII,
    SECRETS,
    actor_of,
    hold,
    make,
    page_url,
    row,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from tests.unit.sessions_unified.admin.conftest import Staff


def html(client: Client, session_id: str) -> str:
    answer = client.get(page_url(session_id))
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def test_the_page_shows_the_session(root: Client) -> None:
    session = make()

    shown = html(root, session.id)

    assert all(each in shown for each in PII)
    assert "Potting soil" in shown
    assert "12.65 USD" in shown
    assert "25.30 USD" in shown
    assert "Created" in shown
    assert "changed: payment token, vault id" in shown
    assert "Problems" not in shown


def test_vault_id_and_payment_token_are_shown_to_nobody(root: Client) -> None:
    session = make()

    shown = html(root, session.id)

    assert not [each for each in SECRETS if each in shown]
    assert "present" in shown


def test_without_the_permission_personal_data_is_masked(staff: Staff) -> None:
    session = make()
    get_manager().get_session(session.id)  # fills the caches, whose copies are shown too

    shown = html(staff("view_unifiedsession"), session.id)

    assert not [each for each in (*PII, *SECRETS) if each in shown]
    assert "c•••@example.org" in shown
    assert "Personal data is masked" in shown


def test_extras_of_imported_products_and_upsells_are_masked(staff: Staff) -> None:
    extra = {"engraving": "canary-engraving"}
    session = make(products=[{"id": "SOIL", "quantity": 1, "price": "1", "extra": extra}])
    details = {"offer-1": {"amount": 9.5, "note": "canary-detail", "transactionId": "tx-9"}}
    upsells = {"accepted": ["offer-1"], "declined": ["offer-2"], "details": details}
    get_manager().update_session(session.id, {"upsells": upsells})

    shown = html(staff("view_unifiedsession"), session.id)

    assert "canary" not in shown
    assert "&quot;transactionId&quot;: &quot;tx-9&quot;" in shown
    assert "9.50 USD" in shown
    assert "tx-9" in shown
    assert "offer-2" in shown


def test_viewing_alone_offers_no_buttons(staff: Staff) -> None:
    session = make()

    shown = html(staff("view_unifiedsession"), session.id)

    assert "/act/" not in shown


def test_buttons_follow_permissions(staff: Staff) -> None:
    session = make()

    changer = html(staff("view_unifiedsession", "change_unifiedsession"), session.id)
    deleter = html(staff("view_unifiedsession", "delete_unifiedsession"), session.id)

    assert "/act/expire/" in changer
    assert "/act/delete/" not in changer
    assert "/act/expire/" not in deleter
    assert "/act/delete/" in deleter


def test_nothing_can_be_edited_or_added(root: Client) -> None:
    session = make()

    posted = root.post(page_url(session.id), {"email": "new@example.org", "_save": "Save"})

    assert posted.status_code == 405
    assert root.get(f"{LIST}add/").status_code == 403
    assert root.post(f"{LIST}add/", {"id": "ws_1_b"}).status_code == 403
    assert row(session.id).email == "canary-email@example.org"


def test_tiers_are_shown_side_by_side_with_their_differences(root: Client) -> None:
    session = make()
    get_manager().get_session(session.id)
    tiers = get_tiers()
    assert tiers.redis is not None
    lease = tiers.redis.read(session.id).lease
    stale = msgspec.structs.replace(session, current_step="stale-step")
    tiers.redis.delete(session.id, session.version)
    lease = tiers.redis.read(session.id).lease
    assert lease is not None
    assert tiers.redis.fill(Copy(stale, tiers.clock.now()), lease)

    shown = html(root, session.id)

    assert f"this web process: {os.getpid()} on " in shown
    assert "stale-step" in shown
    assert '<tr class="su-differs">' in shown
    assert "redis: differs in current_step" in shown


def test_a_page_without_redis_says_so(root: Client, refuse_redis: Callable[[], None]) -> None:
    session = make()
    refuse_redis()

    shown = html(root, session.id)

    assert "Redis did not answer: ConnectionError" in shown
    assert "read now" in shown


def test_the_timeline_names_staff_and_moves(root: Client) -> None:
    session = make()
    manager = get_manager()
    manager.actor = actor_of(root)
    moved = {"status": "processing", "current_step": "processing"}
    manager.update_session(session.id, moved, kind="charge_started")

    shown = html(root, session.id)

    assert "root (staff)" in shown
    assert "Charge started" in shown
    assert "pending → <b>processing</b>" in shown


def test_a_tombstone_has_a_page_without_buttons(root: Client) -> None:
    session = make()
    get_manager().delete_session(session.id)

    shown = html(root, session.id)

    assert "This session was deleted" in shown
    assert "/act/" not in shown
    assert not [each for each in (*PII, *SECRETS) if each in shown]


def test_a_held_session_is_marked(root: Client) -> None:
    session = make()
    hold(session.id)

    assert ">held</span>" in html(root, session.id)


def test_what_does_not_exist_is_not_found(root: Client) -> None:
    assert root.get(page_url("ws_1_nothing")).status_code == 404


def test_staff_without_permission_sees_no_page(staff: Staff) -> None:
    session = make()

    assert staff().get(page_url(session.id)).status_code == 403


def test_the_page_costs_a_fixed_number_of_queries(
    root: Client, django_assert_max_num_queries: object
) -> None:
    session = make()
    for number in range(10):
        get_manager().update_session(session.id, {"metadata": {"note": str(number)}})

    # Three of them are one bounded read of the old shop's table.
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        html(root, session.id)


def test_markup_in_values_is_escaped(root: Client) -> None:
    attack = "<script>alert(1)</script>"
    session = make(metadata={attack: attack}, customer={"firstName": attack})

    assert attack not in html(root, session.id)
    assert UnifiedSession.objects.count() == 1
