"""Service keys, links, events, and the site's money: what is shown once, and what never is."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry

from funnel.payments.models import ChargeAttempt, IdempotencyRecord
from funnel.payments.sandbox.models import SandboxCharge
from sessions_unified import get_manager, keys
from sessions_unified.clock import get_clock
from sessions_unified.links import create_link, redeem_link
from sessions_unified.models import ServiceKey, SessionLink
from tests.unit.sessions_unified.admin.conftest import (
    LIST,
    SECRETS,
    act_url,
    actor_of,
    make,
    page_url,
)

if TYPE_CHECKING:
    from django.test import Client

    from tests.unit.sessions_unified.admin.conftest import Staff

KEYS = "/admin/sessions_unified/servicekey/"
LINKS = "/admin/sessions_unified/sessionlink/"
EVENTS = "/admin/sessions_unified/sessionevent/"
ATTEMPTS = "/admin/funnel/chargeattempt/"
RECORDS = "/admin/funnel/idempotencyrecord/"
SANDBOX = "/admin/funnel/sandboxcharge/"
SHOWN = re.compile(r'type="text" value="([^"]+)" readonly')


def html(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def attempt_of(session_id: str, **fields: Any) -> ChargeAttempt:
    now = get_clock().now()
    given = {
        "session_id": session_id,
        "purpose": "checkout",
        "step": "processing",
        "state": ChargeAttempt.State.SUCCEEDED,
        "amount": Decimal("25.30"),
        "currency": "USD",
        "gateway": "sandbox",
        "gateway_order_id": "order-1",
        "transaction_id": "tx-1",
        "vault_id": SECRETS[0],
        "response": {"token": SECRETS[1]},
        "lease_until": now,
        "created_at": now,
        "settled_at": now,
    } | fields
    return ChargeAttempt.objects.create(**given)


# Service keys


def test_a_key_is_shown_once_and_works(root: Client) -> None:
    made = root.post(f"{KEYS}add/", {"name": "erp", "scopes": ["sessions:read"]}, follow=True)

    match = SHOWN.search(made.content.decode())
    assert match is not None, made.content
    found = keys.find_key(match[1])
    assert found is not None
    assert (found.name, found.scopes) == ("erp", ["sessions:read"])
    assert "messages" not in made.cookies
    assert "no-store" in made["Cache-Control"]
    again = html(root, KEYS) + html(root, f"{KEYS}{found.pk}/change/")
    assert match[1] not in again
    assert found.digest not in again
    assert ServiceKey.objects.count() == 1


def test_a_key_may_end(root: Client) -> None:
    ends = {"expires_at_0": "2099-01-01", "expires_at_1": "12:00:00"}
    root.post(f"{KEYS}add/", {"name": "erp", "scopes": ["sessions:read"], **ends})

    assert f"{ServiceKey.objects.get().expires_at:%Y-%m-%d %H:%M}" == "2099-01-01 12:00"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"name": "erp"}, "This field is required"),
        ({"name": "erp", "scopes": ["all"]}, "Select a valid choice"),
        ({"scopes": ["sessions:read"]}, "This field is required"),
        (
            {
                "name": "erp",
                "scopes": ["sessions:read"],
                "expires_at_0": "2001-01-01",
                "expires_at_1": "0:0",
            },
            "Choose a moment to come",
        ),
    ],
)
def test_a_bad_key_form_makes_no_key(root: Client, data: dict[str, Any], error: str) -> None:
    answer = root.post(f"{KEYS}add/", data)

    assert error in answer.content.decode()
    assert not ServiceKey.objects.exists()


def test_revoking_ends_a_key_and_is_logged(root: Client) -> None:
    key, text = keys.create_key("erp", ["sessions:read"])

    answer = root.post(KEYS, {"action": "revoke", "_selected_action": [key.pk]}, follow=True)

    assert "1 key was revoked" in answer.content.decode()
    assert keys.find_key(text) is None
    assert LogEntry.objects.get().object_repr == "erp"


def test_a_key_is_neither_edited_nor_deleted(root: Client) -> None:
    key, _ = keys.create_key("erp", ["sessions:read"])

    edited = root.post(f"{KEYS}{key.pk}/change/", {"name": "new", "scopes": ["sessions:write"]})
    deleted = root.post(f"{KEYS}{key.pk}/delete/", {"post": "yes"})

    assert (edited.status_code, deleted.status_code) == (403, 403)
    assert ServiceKey.objects.get().name == "erp"


def test_keys_need_permissions(staff: Staff) -> None:
    key, text = keys.create_key("erp", ["sessions:read"])
    viewer = staff("view_servicekey")

    viewer.post(KEYS, {"action": "revoke", "_selected_action": [key.pk]})

    assert viewer.get(f"{KEYS}add/").status_code == 403
    assert keys.find_key(text) is not None


# Links


def test_a_link_is_shown_once_and_opens_the_session(root: Client) -> None:
    session = make()

    made = root.post(act_url(session.id, "link"), {"confirmed": "yes"})

    match = SHOWN.search(made.content.decode())
    assert match is not None, made.content
    base, _, secret = match[1].rpartition("/s/")
    assert base == "http://testserver"
    assert redeem_link(secret) == session.id
    assert SessionLink.objects.get().created_by == actor_of(root)
    assert "messages" not in made.cookies
    assert secret not in html(root, page_url(session.id))


def test_a_link_needs_the_change_permission(staff: Staff) -> None:
    session = make()

    answer = staff("view_unifiedsession").post(act_url(session.id, "link"), {"confirmed": "yes"})

    assert answer.status_code == 403
    assert not SessionLink.objects.exists()


def test_a_link_to_an_expired_session_says_what_it_is_good_for(root: Client) -> None:
    session = make()
    get_manager().expire_session(session.id)

    made = root.post(act_url(session.id, "link"), {"confirmed": "yes"})

    assert "the session is over: its shopper can only start again" in made.content.decode()


def test_links_of_several_sessions_at_once(root: Client) -> None:
    ids = [make().id, make().id]
    data = {"action": "link", "_selected_action": ids, "confirmed": "yes"}

    made = root.post(LIST, data)

    assert len(SHOWN.findall(made.content.decode())) == 2


def test_links_are_listed_with_their_state(root: Client) -> None:
    session = make()
    create_link(session.id, actor="operator")
    secret = create_link(session.id, actor="operator")
    redeem_link(secret)
    old = create_link(session.id, actor="operator")
    long_ago = get_clock().now() - timedelta(days=2)
    fresh = SessionLink.objects.filter(redeemed_at=None).order_by("-created_at").first()
    assert fresh is not None
    SessionLink.objects.filter(pk=fresh.pk).update(expires_at=long_ago)

    shown = html(root, LINKS, q=session.id)

    assert all(text in shown for text in ("good, ends", "used", "too old since"))
    assert old not in shown
    assert not [link.digest for link in SessionLink.objects.all() if link.digest in shown]


# Events


def test_events_are_listed_newest_first(root: Client) -> None:
    session = make()

    shown = html(root, EVENTS, q=session.id)
    created = html(root, EVENTS, kind="session_created")

    assert shown.index("payment token, vault id") < shown.index(">session created</td>")
    assert "2\nevents" in shown
    assert "1\nevent\n" in created
    assert "charge succeeded" in shown


@pytest.mark.parametrize("url", [EVENTS, LINKS, ATTEMPTS, RECORDS, SANDBOX])
def test_records_are_read_only(root: Client, url: str) -> None:
    assert root.get(f"{url}add/").status_code == 403


# The site's money


def test_a_sessions_page_shows_its_charges(root: Client) -> None:
    session = make()
    attempt_of(session.id)

    shown = html(root, page_url(session.id))

    assert all(text in shown for text in ("Charges", "order-1", "tx-1", "succeeded"))
    assert not [each for each in SECRETS if each in shown]


def test_charges_need_their_own_permission(staff: Staff) -> None:
    session = make()
    attempt_of(session.id)

    without = html(staff("view_unifiedsession"), page_url(session.id))
    with_it = html(staff("view_unifiedsession", "funnel.view_chargeattempt"), page_url(session.id))

    assert "order-1" not in without
    assert "order-1" in with_it


@pytest.mark.parametrize("term", ["session", "tx-1", "order-1"])
def test_an_attempt_is_found(root: Client, term: str) -> None:
    session, other = make(), make()
    attempt_of(session.id)
    attempt_of(other.id, gateway_order_id="order-2", transaction_id="tx-2")

    shown = html(root, ATTEMPTS, q=session.id if term == "session" else term)

    assert session.id in shown
    assert other.id not in shown


def test_attempts_are_filtered(root: Client) -> None:
    first, second = make(), make()
    attempt_of(first.id)
    state, purpose = ChargeAttempt.State.DECLINED, "upsell:upsell-1-serum"
    others = {"gateway_order_id": "order-2", "transaction_id": None}
    attempt_of(second.id, state=state, purpose=purpose, **others)

    by_state = html(root, ATTEMPTS, state__exact="declined")
    by_purpose = html(root, ATTEMPTS, purpose="checkout")

    assert second.id in by_state
    assert first.id not in by_state
    assert first.id in by_purpose
    assert second.id not in by_purpose


def test_secrets_of_money_are_on_no_page(root: Client) -> None:
    session = make()
    attempt = attempt_of(session.id)
    charge = SandboxCharge.objects.create(
        order_id="order-1",
        transaction_id="tx-1",
        vault_id=SECRETS[0],
        card=SECRETS[1],
        amount=1,
        currency="USD",
    )
    record = IdempotencyRecord.objects.create(
        session_id=session.id,
        key="key-1",
        request_hash="canary-hash",
        attempt=attempt,
        status=200,
        answer='{"email": "canary-answer"}',
        created_at=get_clock().now(),
    )

    pages = [
        html(root, url)
        for url in (
            *(ATTEMPTS, RECORDS, SANDBOX),
            *(f"{ATTEMPTS}{attempt.pk}/change/", f"{RECORDS}{record.pk}/change/"),
            f"{SANDBOX}{charge.pk}/change/",
        )
    ]

    assert "canary" not in "".join(pages)
    assert "present" in pages[3]
    assert "key-1" in pages[4]


@pytest.mark.parametrize(
    ("url", "lookup"),
    [
        (ATTEMPTS, "vault_id__startswith"),
        (RECORDS, "answer__contains"),
        (SANDBOX, "card__startswith"),
        (KEYS, "digest__startswith"),
        (LINKS, "digest__startswith"),
    ],
)
def test_hidden_fields_cannot_be_probed(root: Client, url: str, lookup: str) -> None:
    assert root.get(url, {lookup: "c"}).status_code == 400
