"""Shoppers with a session in any state, imported ones too."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

import pytest
from django.test import Client

from sessions_unified import ids, tokens
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.importing import import_sessions
from sessions_unified.snapshot import Product, SessionSnapshot
from sessions_unified.tiers import get_tiers

PAID = {"transaction_id": "3029929089", "vault_id": "117041394"}
SOIL = Product(id="SOIL", name="Living Soil 5L", price=Decimal("12.50"), quantity=2)


class Shopper(Client):
    """A browser with a session's cookie."""

    session_id: str

    def pay(self, token: str = "tok_approve", **changes: str) -> Any:
        page = self.get("/checkout")
        return self.post("/checkout", self.form(page) | {"payment_token": token} | changes)

    @staticmethod
    def form(page: Any) -> dict[str, str]:
        """Return what a shopper sends from a checkout page."""
        typed = {"email": "ana@example.org", "first_name": "Ana", "line1": "1 High St"}
        hidden = {"key": page.context["key"], "order": page.context["fingerprint"]}
        return typed | {"city": "Springfield", "zip": "10000", "country": "US"} | hidden

    def answer(self, url: str, decision: str, offer: str = "", **changes: str) -> Any:
        page = self.get(url)
        hidden = {"key": page.context["key"], "order": page.context["fingerprint"]}
        return self.post(url, hidden | {"decision": decision, "offer": offer} | changes)


class MakeShopper(Protocol):
    def __call__(self, **fields: Any) -> Shopper: ...


def snapshot(**fields: Any) -> SessionSnapshot:
    now = get_clock().now()
    defaults = {
        "id": ids.mint_session_id(int(now.timestamp() * 1000)),
        "status": "pending",
        "current_step": "checkout",
        "version": 1,
        "created_at": now - timedelta(hours=1),
        "updated_at": now,
        "expires_at": now + timedelta(hours=20),
        "email": "ana@example.org",
        "products": (SOIL,),
        "amount": Decimal("25.00"),
    }
    return SessionSnapshot(**(defaults | fields))


@pytest.fixture
def shopper() -> MakeShopper:
    """Return a function that imports a session and returns its shopper's browser."""

    def make(**fields: Any) -> Shopper:
        session = snapshot(**fields)
        import_sessions(get_tiers(), [session], source="test")
        browser = Shopper()
        browser.session_id = session.id
        now = get_clock().now()
        browser.cookies[get_conf().COOKIE_NAME] = tokens.issue(
            session.id, now=now, expires_at=now + timedelta(days=2)
        )
        return browser

    return make


@pytest.fixture
def paid() -> dict[str, str]:
    return dict(PAID)
