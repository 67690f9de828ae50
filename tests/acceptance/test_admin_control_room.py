"""An operator looks at the whole migration on one page, in a real browser, and moves an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from legacy_adapters.models import ProcessReport, WriteMark
from tests.acceptance.test_admin import admin, quiet_console, shot
from tests.control_room import a_migration

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.acceptance.test_admin import Shot

__all__ = ["admin", "quiet_console", "shot"]

pytestmark = pytest.mark.django_db(transaction=True)
CHARTS = ("parity", "compared", "differences", "latency", "backlog")


def test_an_operator_sees_the_migration_at_a_glance(page: Page, admin: str, shot: Shot) -> None:
    a_migration()
    page.goto(f"{admin}/legacy_adapters/")
    page.get_by_role("link", name="Control room").first.click()

    expect(page.locator(".la-board tbody tr")).to_have_count(5)
    for name in CHARTS:
        expect(page.locator(f'[data-chart="{name}"] canvas')).to_be_visible()
    shot("control-room")
