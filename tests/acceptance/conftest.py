"""What the acceptance tests share: one real web process for all that need no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.live_site import live_site, site

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

__all__ = ["live_site", "site"]

# What the busiest machine may need: a browser, a web process and its database share it.
PATIENCE_MS = 60_000

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def context(context: BrowserContext) -> BrowserContext:
    """Return the browser's context, whose pages wait as long for what they click."""
    context.set_default_timeout(PATIENCE_MS)
    return context
