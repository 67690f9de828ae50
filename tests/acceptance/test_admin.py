"""An operator inspects sessions in a real browser, against a real web server."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import msgspec
import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from playwright.sync_api import expect

from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import Copy, get_tiers
from tests.live_site import Shopper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.conftest import StartWebServer

WIDTHS = {"desktop": 1280, "phone": 390}
PASSWORD = "correct horse battery staple"
CUSTOMER = {
    "firstName": "Ana",
    "lastName": "Sousa",
    "phone": "+1 555 0100",
    "address": {
        "line1": "1 High Street",
        "city": "Springfield",
        "state": "MA",
        "zip": "01101",
        "country": "US",
    },
}


class Shot(Protocol):
    def __call__(self, name: str) -> None: ...


@pytest.fixture
def shot(page: Page, screenshot: Callable[[str], None]) -> Shot:
    """Keep the page at both widths; the page itself never scrolls sideways on a phone."""

    def take(name: str) -> None:
        for label, wide in WIDTHS.items():
            page.set_viewport_size({"width": wide, "height": 900})
            width = page.evaluate("document.documentElement.scrollWidth")
            screenshot(f"admin-{name}-{label}")
            assert width <= wide, f"{name} needs {width} px at {wide}"
        page.set_viewport_size({"width": 1280, "height": 900})

    return take


@pytest.fixture(autouse=True)
def quiet_console(page: Page) -> Iterator[None]:
    """A policy violation, a missing file and a script's error are all failures."""
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield
    assert not [line for line in said if not line.startswith(("log:", "info:"))], said


@pytest.fixture
def admin(page: Page, site: str) -> str:
    """Sign a superuser in; return the admin's address. For looking alone (see ``own_site``)."""
    return signed_in(page, site)


@pytest.fixture
def own_site(web_server: StartWebServer) -> str:
    """A web process for this test alone.

    Django's staff log is written with ids of content types, which a process keeps for its life and
    the shared one's database does not, from test to test.
    """
    return web_server()


@pytest.fixture
def own_admin(page: Page, own_site: str) -> str:
    return signed_in(page, own_site)


def signed_in(page: Page, site: str) -> str:
    User.objects.create_superuser("ada", password=PASSWORD)
    sign_in(page, site, "ada")
    return f"{site}/admin"


def sign_in(page: Page, site: str, name: str) -> None:
    page.goto(f"{site}/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()


def a_shopper(site: str) -> Shopper:
    """Walk one to the second offer."""
    shopper = Shopper.start(
        site,
        customer=CUSTOMER,
        products=[{"id": "SOIL", "quantity": 2}, {"id": "SEED-1", "quantity": 1}],
        metadata={"utm": {"source": "newsletter"}, "gift": True},
    )
    assert shopper.pay().status == 200
    assert shopper.answer("upsell-1-serum").status == 200
    assert shopper.get().status == 200
    return shopper


def spoil_redis(session_id: str) -> None:
    """Put a copy into Redis that differs from the row."""
    tiers = get_tiers()
    assert tiers.redis is not None
    copy = tiers.database.peek(session_id)
    assert copy is not None
    tiers.redis.delete(session_id, copy.session.version)
    lease = tiers.redis.read(session_id).lease
    assert lease is not None
    stale = msgspec.structs.replace(copy.session, current_step="upsell-1", email="old@example.org")
    assert tiers.redis.fill(Copy(stale, tiers.clock.now() - timedelta(seconds=7)), lease)


def url_of(admin: str, session_id: str) -> str:
    return f"{admin}/sessions_unified/unifiedsession/{quote(session_id)}/change/"


def test_an_operator_finds_sessions(page: Page, site: str, admin: str, shot: Shot) -> None:
    now = get_clock().now()
    walked = a_shopper(site)
    others = [Shopper.start(site, email=f"shopper-{number}@example.org") for number in range(6)]
    by_id = [UnifiedSession.objects.filter(pk=each.id) for each in others]
    by_id[0].update(status="failed")
    get_manager().expire_session(others[1].id)
    by_id[2].update(holds=1, expires_at=now + timedelta(minutes=20))
    by_id[3].update(status="completed", current_step="success", created_at=now - timedelta(days=3))
    by_id[4].update(created_at=now - timedelta(hours=5))
    get_manager().delete_session(others[5].id)

    page.get_by_role("link", name="Sessions", exact=True).first.click()
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(6)
    shot("list")
    page.locator("#changelist-filter").get_by_role("link", name="ends within 1 hour").click()
    expect(rows).to_have_count(1)
    page.goto(f"{admin}/sessions_unified/unifiedsession/")
    page.locator("#searchbar").fill("ANA@example.org")
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name=walked.id).click()

    expect(page.get_by_role("heading", name=walked.id)).to_be_visible()


def test_an_operator_looks_into_a_session(page: Page, site: str, admin: str, shot: Shot) -> None:
    shopper = a_shopper(site)
    spoil_redis(shopper.id)

    page.goto(url_of(admin, shopper.id))

    shot("session")
    expect(page.get_by_role("alert")).to_contain_text("redis: differs in current_step, email")
    expect(page.locator("tr.su-differs")).to_have_count(2)
    expect(page.get_by_role("region", name="Charges")).to_contain_text("upsell:upsell-1-serum")
    expect(page.locator("#timeline")).to_contain_text("Charge succeeded")
    expect(page.get_by_text("1 High Street").first).to_be_visible()


def test_an_operator_in_the_dark(page: Page, site: str, admin: str, shot: Shot) -> None:
    shopper = a_shopper(site)
    spoil_redis(shopper.id)
    page.emulate_media(color_scheme="dark")

    page.goto(url_of(admin, shopper.id))

    shot("session-dark")


def test_staff_without_the_permission_sees_masks(page: Page, site: str, shot: Shot) -> None:
    user = User.objects.create_user("sam", password=PASSWORD, is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_unifiedsession"))
    shopper = a_shopper(site)
    sign_in(page, site, "sam")

    page.goto(url_of(f"{site}/admin", shopper.id))

    shot("session-masked")
    expect(page.get_by_text("Personal data is masked")).to_be_visible()
    assert not re.search("Sousa|High Street|555 0100|newsletter|ana@", page.content())


def test_an_operator_extends_and_then_deletes(
    page: Page, own_site: str, own_admin: str, shot: Shot
) -> None:
    shopper = Shopper.start(own_site)

    page.goto(url_of(own_admin, shopper.id))
    page.get_by_role("link", name="Extend").click()
    page.get_by_label("Hours").fill("72")
    shot("extend")
    page.get_by_role("button", name="Extend").click()
    expect(page.locator(".messagelist")).to_contain_text("Extended until")
    expect(page.locator("#timeline")).to_contain_text("ada (staff)")
    page.get_by_role("button", name="Drop from the caches").click()
    expect(page.get_by_text(f"Dropped from the caches: {shopper.id}")).to_be_visible()
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete?")).to_be_visible()
    shot("delete")
    page.get_by_role("button", name="Delete").click()

    expect(page.get_by_text(f"Deleted: {shopper.id}")).to_be_visible()
    assert shopper.get().status == 404
    page.goto(url_of(own_admin, shopper.id))
    shot("tombstone")
    expect(page.get_by_text("This session was deleted")).to_be_visible()


def test_an_operator_acts_on_several(page: Page, own_site: str, own_admin: str, shot: Shot) -> None:
    free, held = Shopper.start(own_site), Shopper.start(own_site)
    with get_manager().lock_session(held.id) as locked:
        locked.hold()

    page.goto(f"{own_admin}/sessions_unified/unifiedsession/")
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option("Expire now")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("heading", name="Expire now?")).to_be_visible()
    shot("expire-several")
    page.get_by_role("button", name="Expire now: 2 sessions").click()

    expect(page.get_by_text(f"Expired: {free.id}.")).to_be_visible()
    expect(page.get_by_text("refused, because a charge is still open (held)")).to_be_visible()
    shot("list-after")


def test_a_link_made_here_brings_the_shopper_back(
    page: Page, own_site: str, own_admin: str, shot: Shot
) -> None:
    shopper = a_shopper(own_site)

    page.goto(url_of(own_admin, shopper.id))
    page.get_by_role("link", name="Make a one-time link").click()
    page.get_by_role("button", name="Make a one-time link").click()
    expect(page.get_by_text("Copy it now.")).to_be_visible()
    shot("link")
    link = page.get_by_label(shopper.id).input_value()

    assert re.fullmatch(f"{re.escape(own_site)}/s/[A-Za-z0-9_-]{{40,}}", link)
    expect(page.get_by_role("button", name="Copy")).to_be_visible()


def test_an_operator_makes_a_service_key(
    page: Page, own_site: str, own_admin: str, shot: Shot
) -> None:
    page.goto(f"{own_admin}/sessions_unified/servicekey/add/")
    page.get_by_label("Name").fill("erp")
    page.get_by_label("sessions:read").check()
    shot("key-form")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Copy it now.")).to_be_visible()
    shot("key")
    key = page.get_by_label("erp").input_value()
    shopper = Shopper.start(own_site)

    shopper.headers = {"Authorization": f"Api-Key {key}"}
    assert shopper.get().status == 200
    page.goto(f"{own_admin}/sessions_unified/servicekey/")
    shot("keys")
    assert key not in page.content()


def test_the_other_lists(page: Page, site: str, admin: str, shot: Shot) -> None:
    a_shopper(site)

    for name in (
        *("sessions_unified/sessionevent", "sessions_unified/sessionlink"),
        *("funnel/chargeattempt", "funnel/idempotencyrecord", "funnel/sandboxcharge"),
    ):
        page.goto(f"{admin}/{name}/")
        shot(name.partition("/")[2])
    page.goto(f"{admin}/funnel/chargeattempt/")
    page.locator("#result_list tbody a").first.click()
    expect(page.get_by_role("heading", name="View charge attempt")).to_be_visible()
    shot("chargeattempt-one")
