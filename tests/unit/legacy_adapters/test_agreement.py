"""When a legacy record and a session say the same."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from legacy_adapters.migration.agreement import COMPARED, differing_fields
from sessions_unified.snapshot import SessionSnapshot
from tests.sessions import BORN, snapshot

FULL = {
    "email": "ana@example.org",
    "customer": {"firstName": "Ana", "score": Decimal("0.1")},
    "products": [{"id": "SOIL", "quantity": 1, "price": "12.50", "extra": {"n": Decimal(2)}}],
    "amount": Decimal("12.50"),
    "metadata": {"legacy": {"amount": Decimal("1E+3")}},
}


def differing(legacy: SessionSnapshot, unified: SessionSnapshot, *, hours: int = 1) -> Any:
    return differing_fields(legacy, unified, now=BORN + timedelta(hours=hours))


def test_bookkeeping_is_not_compared() -> None:
    later = BORN + timedelta(hours=3)
    unified = snapshot(**FULL, version=7, updated_at=later, expires_at=later)

    assert differing(snapshot(**FULL), unified) == ()


def test_numbers_are_compared_as_the_database_returns_them() -> None:
    stored = {
        **FULL,
        "customer": {"firstName": "Ana", "score": 0.1},
        "metadata": {"legacy": {"amount": 1000}},
    }

    assert differing(snapshot(**FULL), snapshot(**stored)) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "ws_1_b"),
        ("email", "other@example.org"),
        ("status", "failed"),
        ("current_step", "processing"),
        ("created_at", BORN - timedelta(1)),
        ("customer", None),
        ("products", []),
        ("amount", None),
        ("currency", "EUR"),
        ("vault_id", "1"),
        ("transaction_id", "1"),
        ("payment_token", "tok"),
        ("upsells", {"accepted": ["upsell-1-serum"]}),
        ("metadata", {}),
    ],
)
def test_every_other_field_is(name: str, value: Any) -> None:
    assert name in COMPARED
    assert differing(snapshot(**FULL), snapshot(**{**FULL, name: value})) == (name,)


def test_every_field_is_compared_or_bookkeeping() -> None:
    assert len(COMPARED) == len(SessionSnapshot.__struct_fields__) - 3


def test_an_unpaid_one_past_its_end_agrees_with_an_expired_one() -> None:
    legacy = snapshot(**FULL, payment_token="tok_1")

    assert differing(legacy, snapshot(**FULL, status="expired"), hours=25) == ()
    assert differing(legacy, snapshot(**FULL, status="expired"), hours=23) == (
        "status",
        "payment_token",
    )


def test_a_paid_one_past_its_end_agrees_with_a_completed_one() -> None:
    legacy = snapshot(status="processing", current_step="upsell-1", transaction_id="1")
    unified = snapshot(status="completed", current_step="success", transaction_id="1")

    assert differing(legacy, unified, hours=25) == ()
    assert differing(legacy, unified, hours=23) == ("status", "current_step")


def test_one_past_its_end_that_was_held_agrees_unsettled() -> None:
    legacy = snapshot(status="processing", current_step="processing")

    assert differing(legacy, legacy, hours=25) == ()
