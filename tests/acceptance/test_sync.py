"""A browser of the old shop sends its localStorage, and holds afterwards what is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.live_site import Caller, Shopper

if TYPE_CHECKING:
    from playwright.sync_api import Page

# As the old pages wrote it: JSON.stringify of JS values, dates among them.
REMEMBER = """(id) => {
  const day = 24 * 3600 * 1000, now = Date.now();
  const entry = (id, born, fields) => ({
    id, email: "ana@example.org", products: [{id: "SOIL", name: "Soil", price: 0.01, quantity: 9}],
    status: "initiated", currentStep: "checkout", upsellsAccepted: [], upsellsDeclined: [],
    upsells: [], createdAt: new Date(born), updatedAt: new Date(born + 1000),
    expiresAt: new Date(born + day), ...fields,
  });
  localStorage.setItem("webseed_funnel_sessions", JSON.stringify({
    [id]: entry(id, now, {
      customerInfo: {firstName: "Ana", phone: "+49 30 1234"}, vaultId: "428354408",
      status: "completed", currentStep: "success", transactionId: "made-up", theme: "dark",
    }),
    ws_1_over: entry("ws_1_over", now - 2 * day, {}),
    ws_1_foreign: entry("ws_1_foreign", now - 1000, {}),
  }));
}"""

# What a page does with the answer; three lines of it are the whole client.
SYNC = """async () => {
  const key = "webseed_funnel_sessions";
  const response = await fetch("/api/session/sync", {
    method: "POST", headers: {"Content-Type": "application/json"},
    body: localStorage.getItem(key) ?? "null",
  });
  const answer = await response.json();
  let held = {};
  try { held = JSON.parse(localStorage.getItem(key)) ?? {}; } catch {}
  Object.assign(held, answer.keep);
  for (const id of answer.drop) delete held[id];
  localStorage.setItem(key, JSON.stringify(held));
  return [response.status, answer, held];
}"""


def open_shop(page: Page, site: str, shopper: Shopper | None = None) -> None:
    if shopper is not None:
        host = urlsplit(site).hostname
        cookie = {"name": "funnel_session", "value": shopper.token, "domain": host, "path": "/"}
        page.context.add_cookies([cookie])  # type: ignore[list-item]
    page.goto(site)


def test_a_browser_holds_afterwards_what_is_true(page: Page, site: str) -> None:
    ana = Shopper.start(site)
    open_shop(page, site, ana)
    page.evaluate(REMEMBER, ana.id)

    status, answer, held = page.evaluate(SYNC)

    assert status == 200
    assert list(answer["sessions"]) == list(answer["keep"]) == [ana.id]
    assert answer["drop"] == ["ws_1_over"]
    assert answer["startOver"] is None
    assert set(held) == {ana.id, "ws_1_foreign"}
    mine = held[ana.id]
    assert (mine["status"], mine["currentStep"], mine["theme"]) == ("initiated", "checkout", "dark")
    assert mine["customerInfo"] == {"firstName": "Ana", "phone": "+49 30 1234"}
    assert [line["quantity"] for line in mine["products"]] == [2]
    assert not {"vaultId", "transactionId"} & set(mine)
    assert ana.get().json["customer"] == mine["customerInfo"]
    again: dict[str, Any] = page.evaluate(SYNC)[2]
    assert again == held
    assert ana.get().json["version"] == 2


def test_a_browser_without_our_token_or_with_a_broken_storage_is_answered(
    page: Page, site: str
) -> None:
    ana = Shopper.start(site)
    open_shop(page, site)
    page.evaluate(REMEMBER, ana.id)

    _, stranger, held = page.evaluate(SYNC)

    assert stranger["sessions"] == stranger["keep"] == {}
    assert stranger["startOver"] == {"products": [{"id": "SOIL", "quantity": 9}]}
    assert set(held) == {ana.id, "ws_1_foreign"}
    open_shop(page, site, ana)
    page.evaluate('localStorage.webseed_funnel_sessions = \'{"ws_1_a": {"id\'')

    _, answer, held = page.evaluate(SYNC)

    assert [each["code"] for each in answer["problems"]] == ["unreadable_blob"]
    assert list(held) == [ana.id]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_synchronises(site: str, method: str) -> None:
    assert Caller(base=site).send(method, "/api/session/sync").is_problem(405, "method_not_allowed")


def test_the_body_comes_as_json_and_within_bounds(site: str) -> None:
    caller = Caller(base=site)

    large = caller.send("POST", "/api/session/sync", b"x" * 1_000_000)
    form = caller.send("POST", "/api/session/sync", b"{}", Content_Type="text/plain")

    assert large.is_problem(413, "body_too_large")
    assert form.is_problem(415, "unsupported_media_type")
