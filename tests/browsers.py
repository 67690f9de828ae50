"""What browsers of the old shop hold, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SAMPLES = sorted((Path(__file__).parent / "samples/legacy/local_storage").glob("*.json"))


def entry(**fields: Any) -> dict[str, Any]:
    """Return an entry as the old page writes it: at the checkout, with a product, alive."""
    return {
        "id": "ws_mwo5wwds_2",
        "email": "ana@example.org",
        "customerInfo": {"firstName": "Ana", "lastName": "Ng"},
        "products": [{"id": "SOIL", "name": "Living Soil 5L", "price": 12.5, "quantity": 1}],
        "status": "initiated",
        "currentStep": "checkout",
        "upsellsAccepted": [],
        "upsellsDeclined": [],
        "upsells": [],
        "createdAt": "2026-11-19T23:09:26.128Z",
        "updatedAt": "2026-11-19T23:30:02.998Z",
        "expiresAt": "2999-11-20T23:09:26.128Z",
    } | fields
