"""The API's documentation opens in a real browser under the site's own content policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

METHODS = {"get", "post", "put", "patch", "delete"}


def test_every_operation_is_shown(page: Page, site: str, screenshot: Callable[[str], None]) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    schema = httpx2.get(f"{site}/api/schema", headers={"Accept": "application/json"}).json()
    operations = [
        (path, method)
        for path, methods in schema["paths"].items()
        for method in methods
        if method in METHODS
    ]

    page.goto(f"{site}/api/docs")

    expect(page.locator(".opblock")).to_have_count(len(operations))
    page.locator(".opblock-post").first.click()
    expect(page.locator(".opblock-body").first).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 900})
    screenshot("api-docs-desktop")
    page.set_viewport_size({"width": 390, "height": 900})
    screenshot("api-docs-phone")
    assert operations
    assert not [line for line in said if not line.startswith(("log:", "info:"))], said
