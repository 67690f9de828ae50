"""Only a page with a gateway's own card form may load anything from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.live_site import SOIL

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django.fixtures import SettingsWrapper

NMI = {
    "GATEWAY": "funnel.payments.nmi.NmiGateway",
    "NMI": {"COLLECT_URL": "https://secure.nmi.example/token/Collect.js"},
}


def policy(client: Client, path: str) -> dict[str, str]:
    header = client.get(path).headers["Content-Security-Policy"]
    parts = (part.strip().partition(" ") for part in header.split(";"))
    return {name: sources for name, _, sources in parts}


def test_the_checkout_allows_the_gateways_origin_and_other_pages_do_not(
    client: Client, db: None, settings: SettingsWrapper
) -> None:
    settings.FUNNEL = NMI
    created = client.post(
        "/api/session/create",
        {"email": "ana@example.org", "products": SOIL},
        content_type="application/json",
    )
    assert created.status_code == 201, created.content

    checkout, shop, admin = (policy(client, path) for path in ("/checkout", "/", "/admin/login/"))

    for directive in ("script-src", "frame-src", "connect-src"):
        assert checkout[directive] == "'self' https://secure.nmi.example"
        assert directive not in shop
        assert directive not in admin
    assert checkout["default-src"] == shop["default-src"] == "'self'"
    assert checkout["frame-ancestors"] == "'none'"


def test_on_the_sandbox_the_checkout_stays_as_strict_as_the_rest(client: Client, db: None) -> None:
    client.post(
        "/api/session/create",
        {"email": "ana@example.org", "products": SOIL},
        content_type="application/json",
    )

    assert policy(client, "/checkout") == policy(client, "/")
