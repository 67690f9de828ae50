"""An operator looks at the whole migration on one page, in a browser, and holds an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from legacy_adapters.models import EndpointStage, WriteMark
from tests.acceptance.test_admin import own_admin, own_site, quiet_console, shot
from tests.control_room import a_migration

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.acceptance.test_admin import Shot

__all__ = ["own_admin", "own_site", "quiet_console", "shot"]

pytestmark = pytest.mark.django_db(transaction=True)
CHARTS = ("parity", "compared", "differences", "latency", "backlog")
OTHERS = {"rollback": "migration/session.detail/rollback/", "marks": "writemark/"}
# Pixels of a canvas that are not the background's: a chart without a line has those of its grid.
INK = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] > 200) colours.add(`${data[at]},${data[at + 1]},${data[at + 2]}`);
  return colours.size;
}"""


def test_an_operator_follows_a_migration(page: Page, own_admin: str, shot: Shot) -> None:
    a_migration()
    page.goto(f"{own_admin}/legacy_adapters/")
    page.get_by_role("link", name="Control room").first.click()
    page.get_by_role("link", name="session.detail", exact=True).click()

    for name in CHARTS:
        canvas = page.locator(f'[data-chart="{name}"] canvas')
        expect(canvas).to_be_visible()
        assert canvas.evaluate(INK) > 1, f"{name} is blank"
    shot("control-room")
    page.set_viewport_size({"width": 390, "height": 900})
    expect(page.locator('[data-chart="latency"] canvas')).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 900})

    # Kept up to date in place: what is open stays open.
    page.get_by_text("7 gates open").click()
    WriteMark.objects.filter(is_dead=False).delete()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_text("and kept up to date")).to_be_visible()
    expect(page.locator("section", has_text="Sessions to repair").first).to_contain_text(
        "0 waiting"
    )
    expect(page.locator('[data-keep="gates-session.detail"]')).to_have_attribute("open", "")

    detail = page.get_by_role("region", name="session.detail")
    detail.get_by_role("link", name="Pause").click()
    page.get_by_label("Reason").fill("A sale is on until Monday")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".messagelist")).to_contain_text("session.detail is held at live 25 %")
    assert EndpointStage.objects.get(pk="session.detail").paused_at is not None

    for name, address in OTHERS.items():
        page.goto(f"{own_admin}/legacy_adapters/{address}")
        shot(f"control-room-{name}")
