"""Our own database is away while the old shop's is not: what it can hold goes on being written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from legacy_adapters.database import DatabaseAdapter
from tests.legacy import create_table, other_database
from tests.live_site import SOIL, Shopper
from tests.managing import wait_for
from tests.migrating import MANAGER, to_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.conftest import StartSite

ORDER = {"email": "ben@example.org", "products": SOIL}


@pytest.fixture(scope="module")
def legacy_url(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """Make the old shop a database of its own; yield its URL."""
    with django_db_blocker.unblock(), other_database("legacy") as name:
        create_table(DatabaseAdapter(source="database", alias="legacy").table)
        yield urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def test_legacy_first_writes_go_on_unmarked_and_say_so(
    start_site: StartSite, legacy_url: str
) -> None:
    to_stage("dual_write")
    migrating = {"SESSIONS_UNIFIED": {"MANAGER": MANAGER}}
    site = start_site(migrating, LEGACY_DATABASE_URL=legacy_url)
    shopper = Shopper.start(site.base)
    before = shopper.patch({"metadata": {"n": 1}})
    assert before.status == 200, before.body

    site.database.refuse()
    written = shopper.patch({"email": "eva@example.org"})
    read = shopper.get()
    refused = shopper.patch({"metadata": {"n": 2}})
    site.database.pass_on()

    assert (written.status, refused.status) == (200, 503), written.body
    assert "database" in (written.headers["Session-Degraded"] or "")
    assert (read.status, read.json["email"]) == (200, "eva@example.org")
    wait_for(lambda: shopper.patch({"metadata": {"m": 1}}).status == 200)
    after = shopper.get()
    assert after.json["email"] == "eva@example.org"
    assert after.json["metadata"] == {"n": 1, "m": 1}


def test_money_is_never_moved_without_our_database(start_site: StartSite, legacy_url: str) -> None:
    to_stage("dual_write")
    migrating = {"SESSIONS_UNIFIED": {"MANAGER": MANAGER}}
    site = start_site(migrating, LEGACY_DATABASE_URL=legacy_url)
    shopper = Shopper.start(site.base)

    site.database.refuse()
    refused = shopper.pay()
    site.database.pass_on()

    assert refused.status == 503
    assert shopper.get().json["status"] == "pending"
