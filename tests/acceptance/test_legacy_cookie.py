"""A shopper of the old shop comes back with nothing but its cookie."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from legacy_adapters.database.store import Table
from legacy_adapters.models import RefusedToken
from tests.legacy import create_table, put, row
from tests.legacy_tokens import COMPROMISED, SECRET, shifted, token
from tests.live_site import Answer, Caller, running_site

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD, OURS = "upsell_session", "funnel_session"
TABLE = Table(alias="default", name="old_cookie_sessions")


@pytest.fixture(scope="module")
def migrating_site(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    records = tmp_path_factory.mktemp("old_cookie")
    secrets = {"LEGACY_COOKIE_SECRETS": f"rotated-in-{SECRET},{SECRET}"}
    with running_site(records, LEGACY_SESSION_TABLE=TABLE.name, **secrets) as url:
        yield url


@pytest.fixture
def shop(migrating_site: str, transactional_db: None) -> Iterator[str]:
    """Return a migrating site's base URL; the old shop's table is there, and empty."""
    create_table(TABLE)
    yield migrating_site
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE.quoted}")


def bringing(shop: str, **cookies: str) -> Caller:
    text = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return Caller(base=shop, headers={"Cookie": text})


@pytest.fixture
def old_id() -> str:
    """Return an id of the old shop; the site remembers for a minute those of other tests."""
    return f"ws_mwo5wwds_{uuid.uuid4().hex[:9]}"


def good(session_id: str) -> str:
    return token(shifted(datetime.now(UTC), id=session_id))


def path_of(session_id: str) -> str:
    return f"/api/session/{session_id}"


def cookies_of(answer: Answer) -> SimpleCookie:
    cookies = SimpleCookie()
    for header in answer.headers.get_all("Set-Cookie", []):
        cookies.load(header)
    return cookies


def test_a_valid_old_cookie_earns_a_token_that_then_works_alone(shop: str, old_id: str) -> None:
    met = bringing(shop, **{OLD: good(old_id)}).send("GET", path_of(old_id))

    assert met.status == 200, met.body
    assert met.json["customer"]["firstName"] == "Ana"
    assert met.json["status"] == "processing"
    cookies = cookies_of(met)
    assert set(cookies) == {OURS}
    ours = cookies[OURS]
    assert ours["httponly"]
    assert not ours["domain"]
    assert (ours["samesite"], ours["path"]) == ("Lax", "/")
    assert 3600 < int(ours["max-age"]) <= 48 * 3600
    assert len(met.headers["Set-Cookie"]) <= 4096

    alone = bringing(shop, **{OURS: ours.value}).send("GET", path_of(old_id))
    assert alone.status == 200
    assert "Set-Cookie" not in alone.headers


def test_what_the_shop_s_table_knows_comes_along(shop: str, old_id: str) -> None:
    later = datetime.now(UTC) + timedelta(hours=20)
    put(
        TABLE,
        row(
            id=old_id,
            created_at=(later - timedelta(hours=24)).isoformat(),
            updated_at=(later - timedelta(hours=23)).isoformat(),
            expires_at=later.isoformat(),
        ),
    )

    met = bringing(shop, **{OLD: good(old_id)}).send("GET", path_of(old_id))

    assert met.status == 200, met.body
    assert met.json["products"][0]["id"] == "SOIL"
    assert met.json["currentStep"] == "upsell-1"


@pytest.mark.parametrize(
    "make",
    [
        lambda old_id: good(old_id)[:-4] + "AAAA",
        lambda old_id: token(shifted(datetime.now(UTC), id=old_id), header={"alg": "none"}),
        lambda old_id: token(shifted(datetime.now(UTC) - timedelta(hours=1), id=old_id)),
        lambda old_id: good(old_id) + "x" * 4096,
    ],
)
def test_a_bad_old_cookie_earns_nothing(shop: str, old_id: str, make: Any) -> None:
    answer = bringing(shop, **{OLD: make(old_id)}).send("GET", path_of(old_id))

    assert answer.is_problem(401, "not_authenticated")
    assert "Set-Cookie" not in answer.headers


def test_a_forged_one_is_deleted_and_audited(shop: str, old_id: str) -> None:
    forged = token(shifted(datetime.now(UTC), id=old_id), secret=COMPROMISED)

    answer = bringing(shop, **{OLD: forged}).send("GET", path_of(old_id))

    assert answer.is_problem(401, "not_authenticated")
    cookies = cookies_of(answer)
    assert set(cookies) == {OLD}
    gone = cookies[OLD]
    assert (gone.value, gone["max-age"]) == ("", "0")
    assert (gone["path"], gone["samesite"]) == ("/", "Lax")
    assert gone["httponly"]
    assert [(seen.session_id, seen.times) for seen in RefusedToken.objects.all()] == [(old_id, 1)]


def test_who_deletes_the_session_keeps_neither_cookie_and_earns_no_other(
    shop: str, old_id: str
) -> None:
    caller = bringing(shop, **{OLD: good(old_id)})

    deleted = caller.send("DELETE", path_of(old_id))

    assert deleted.status == 204, deleted.body
    assert {name: each.value for name, each in cookies_of(deleted).items()} == {OURS: "", OLD: ""}
    again = caller.send("GET", path_of(old_id))
    assert again.is_problem(401, "not_authenticated")
    assert "Set-Cookie" not in again.headers
