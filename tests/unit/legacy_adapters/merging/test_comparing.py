"""When a legacy record and a session say the same."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from legacy_adapters.merging.comparing import COMPARED, differing
from legacy_adapters.stores import Store
from sessions_unified.snapshot import SessionSnapshot
from tests.sessions import BORN, snapshot

FULL = {
    "email": "ana@example.org",
    "customer": {"firstName": "Ana", "score": Decimal("0.1")},
    "products": [{"id": "SOIL", "quantity": 1, "price": "12.50", "extra": {"n": Decimal(2)}}],
    "amount": Decimal("12.50"),
    "metadata": {"legacy": {"database": {"amount": Decimal("1E+3")}}},
}


ALL = frozenset(SessionSnapshot.__struct_fields__)
SERUM = "upsell-1-serum"


def differ(
    legacy: SessionSnapshot,
    unified: SessionSnapshot,
    *,
    hours: int = 1,
    fields: frozenset[str] = ALL,
    store: Store = Store.DATABASE,
) -> tuple[str, ...]:
    now = BORN + timedelta(hours=hours)
    return differing(legacy, unified, fields=fields, now=now, store=store)


def test_bookkeeping_is_not_compared() -> None:
    later = BORN + timedelta(hours=3)
    unified = snapshot(**FULL, version=7, updated_at=later, expires_at=later)

    assert differ(snapshot(**FULL), unified) == ()


def test_numbers_are_compared_as_the_database_returns_them() -> None:
    stored = {
        **FULL,
        "customer": {"firstName": "Ana", "score": 0.1},
        "metadata": {"legacy": {"database": {"amount": 1000}}},
    }

    assert differ(snapshot(**FULL), snapshot(**stored)) == ()


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
    assert differ(snapshot(**FULL), snapshot(**{**FULL, name: value})) == (name,)


def test_every_field_is_compared_or_bookkeeping() -> None:
    assert len(COMPARED) == len(SessionSnapshot.__struct_fields__) - 3


def test_an_unpaid_one_past_its_end_agrees_with_an_expired_one() -> None:
    legacy = snapshot(**FULL, payment_token="tok_1")

    assert differ(legacy, snapshot(**FULL, status="expired"), hours=25) == ()
    assert differ(legacy, snapshot(**FULL, status="expired"), hours=23) == (
        "status",
        "payment_token",
    )


def test_a_paid_one_past_its_end_agrees_with_a_completed_one() -> None:
    legacy = snapshot(status="processing", current_step="upsell-1", transaction_id="1")
    unified = snapshot(status="completed", current_step="success", transaction_id="1")

    assert differ(legacy, unified, hours=25) == ()
    assert differ(legacy, unified, hours=23) == ("status", "current_step")


def test_a_paid_one_that_the_old_code_called_expired_agrees_with_a_completed_one() -> None:
    legacy = snapshot(status="expired", current_step="upsell-1", transaction_id="1")
    unified = snapshot(status="completed", current_step="success", transaction_id="1")

    assert differ(legacy, unified, hours=25) == ()
    assert differ(legacy, legacy, hours=25) == ()
    assert differ(legacy, unified, hours=23) == ("status", "current_step")
    assert differ(snapshot(status="expired"), snapshot(status="completed"), hours=25) == ("status",)


def test_one_past_its_end_that_was_held_agrees_unsettled() -> None:
    legacy = snapshot(status="processing", current_step="processing")

    assert differ(legacy, legacy, hours=25) == ()


def test_only_what_the_format_has_a_place_for_is_compared() -> None:
    legacy, unified = snapshot(**FULL), snapshot(id="ws_1_a", email="eva@example.org")

    assert differ(legacy, unified, fields=frozenset({"id", "email"})) == ("email",)
    assert differ(legacy, unified, fields=frozenset({"id", "version", "updated_at"})) == ()


def test_an_address_in_another_case_or_form_is_the_same() -> None:
    legacy = snapshot(email="Jose\u0301@Example.org")

    assert differ(legacy, snapshot(email="jos\u00e9@example.org")) == ()


def test_a_birth_is_compared_to_the_millisecond() -> None:
    exact = snapshot(created_at=BORN + timedelta(microseconds=128_999))

    assert differ(snapshot(created_at=BORN + timedelta(milliseconds=128)), exact) == ()
    assert differ(snapshot(created_at=BORN + timedelta(milliseconds=127)), exact) == ("created_at",)


def test_offers_are_compared_as_sets() -> None:
    legacy = snapshot(upsells={"accepted": ["a", "b"], "declined": ["c"]})
    details = {"a": {"amount": 5}}

    unified = snapshot(upsells={"accepted": ["b", "a"], "declined": ["c"], "details": details})

    assert differ(legacy, unified) == ()


def test_an_offer_both_ways_agrees_with_what_a_merge_makes_of_it() -> None:
    legacy = snapshot(upsells={"accepted": [SERUM], "declined": [SERUM]})
    proof = {SERUM: {"transactionId": "7"}}

    assert differ(legacy, snapshot(upsells={"declined": [SERUM]})) == ()
    assert differ(legacy, snapshot(upsells={"accepted": [SERUM], "details": proof})) == ()
    assert differ(legacy, snapshot(upsells={"accepted": [SERUM]})) == ("upsells",)


def test_metadata_of_our_own_is_not_compared() -> None:
    kept = {"database": {"columns": {"a": 1}}}
    ours = {"note": "x", "legacy": {**kept, "cookie": {"claims": {}}}}

    assert differ(snapshot(metadata={"legacy": kept}), snapshot(metadata=ours)) == ()


@pytest.mark.parametrize("store", [Store.COOKIE, Store.MEMORY_CACHE])
def test_a_cookie_has_some_keys_of_the_customer_and_a_later_birth(store: Store) -> None:
    legacy = snapshot(customer={"firstName": "Ana", "state": "", "tags": []}, created_at=BORN)
    session = {"customer": {"firstName": "Ana", "phone": "1", "state": "NY"}}
    older = snapshot(**session, created_at=BORN - timedelta(hours=1))

    assert differ(legacy, older, store=store) == ()
    assert differ(legacy, older) == ("created_at", "customer")


@pytest.mark.parametrize("store", [Store.COOKIE, Store.MEMORY_CACHE])
def test_what_a_cookie_says_of_the_customer_is_compared(store: Store) -> None:
    legacy = snapshot(customer={"firstName": "Ana"}, created_at=BORN - timedelta(hours=1))

    assert differ(legacy, snapshot(customer={"firstName": "Eva"}), store=store) == (
        "created_at",
        "customer",
    )
    assert differ(legacy, snapshot(created_at=legacy.created_at), store=store) == ("customer",)


def test_a_completed_one_past_its_end_agrees_with_no_expired_one() -> None:
    legacy = snapshot(status="completed", current_step="success")

    assert differ(legacy, snapshot(status="expired", current_step="success"), hours=25) == (
        "status",
    )
