"""A shopper walks the whole funnel over the API (Django's test client)."""

from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_shopper_checks_out_and_takes_an_upsell() -> None:
    client = Client()
    body = {"email": "ana@example.org", "products": [{"id": "SOIL", "quantity": 2}]}

    created = client.post("/api/session/create", body, content_type="application/json")
    paid = client.post(
        "/api/checkout/process",
        {"paymentToken": "tok_approve"},
        content_type="application/json",
        headers={"Idempotency-Key": "one"},
    )
    taken = client.post(
        "/api/upsell/process",
        {"offer": "upsell-1-serum", "decision": "accept"},
        content_type="application/json",
        headers={"Idempotency-Key": "two"},
    )

    assert created.status_code == 201, created.content
    assert paid.status_code == 200, paid.content
    assert paid.json()["next"] == {
        "step": "upsell-1",
        "url": "/upsell-1",
        "offers": ["upsell-1-serum", "upsell-1-bundle"],
    }
    assert taken.status_code == 200, taken.content
    assert taken.json()["session"]["upsells"]["accepted"] == ["upsell-1-serum"]
    assert taken.json()["next"]["step"] == "upsell-2"
