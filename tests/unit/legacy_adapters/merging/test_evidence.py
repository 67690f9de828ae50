"""What is kept of a contradiction: enough to decide, and nothing that is anybody's secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from legacy_adapters.merging import Candidate, merge
from legacy_adapters.merging.evidence import of_conflicts, of_fields
from legacy_adapters.merging.rules import RULES
from legacy_adapters.stores import Store
from sessions_unified.snapshot import SessionSnapshot
from tests.sessions import BORN, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

SECRETS = ("ana", "Ulm", "618896069", "3094896636", "tok_secret_1")
FULL = {
    "email": "ana@example.org",
    "customer": {"firstName": "ana", "address": {"city": "Ulm"}},
    "products": [{"id": "SOIL", "quantity": 1, "price": "12.50", "extra": {"to": "ana"}}],
    "amount": "12.50",
    "vault_id": "618896069",
    "transaction_id": "3094896636",
    "payment_token": "tok_secret_1",
    "upsells": {"accepted": ["upsell-1-serum"], "details": {"upsell-1-serum": {"by": "ana"}}},
    "metadata": {"note": "ana", "legacy": {"database": {"columns": {"ip": "ana"}}}},
}


def evidence_of(field: str, *, ours: Any, theirs: Any) -> dict[str, Any]:
    (found,) = of_fields(
        [field],
        unified=snapshot(**{field: ours}),
        legacy=snapshot(**{field: theirs}),
        store=Store.DATABASE,
    )
    return found


def test_no_secret_of_any_field_is_in_it() -> None:
    found = of_fields(
        SessionSnapshot.__struct_fields__,
        unified=snapshot(),
        legacy=snapshot(**FULL),
        store=Store.DATABASE,
    )

    text = json.dumps(found)

    assert not [secret for secret in SECRETS if secret in text]
    assert [each["field"] for each in found] == list(SessionSnapshot.__struct_fields__)


@pytest.mark.parametrize("mine", ["ana@example.org", "4111 1111 1111 1111"])
@pytest.mark.parametrize(
    "shape",
    [
        lambda mine: {"customer": {mine: "x"}},
        lambda mine: {"metadata": {mine: "x"}},
        lambda mine: {"upsells": {"accepted": [mine], "declined": [f"to {mine}"]}},
        lambda mine: {"products": [{"id": mine, "quantity": 1}]},
        lambda mine: {"current_step": mine},
    ],
)
def test_no_address_and_no_card_stands_in_for_a_name(
    shape: Callable[[str], dict[str, Any]], mine: str
) -> None:
    (field,) = theirs = shape(mine)

    found = of_fields(
        [field], unified=snapshot(), legacy=snapshot(**theirs), store=Store.LOCAL_STORAGE
    )

    assert mine[:8] not in json.dumps(found)


def test_it_says_which_rule_and_that_nothing_decided() -> None:
    found = evidence_of("status", ours="pending", theirs="completed")

    assert found == {
        "field": "status",
        "rule": RULES["status"].name,
        "blocks": True,
        "unified": "pending",
        "legacy": {"database": "completed"},
    }


@pytest.mark.parametrize(
    ("field", "ours", "theirs", "shown"),
    [
        ("email", "ana@example.org", "eva@example.com", ("a•••@example.org", "e•••@example.com")),
        ("vault_id", None, "618896069", (None, "…6069")),
        ("transaction_id", "12345678", "3094896636", ("…", "…6636")),
        ("payment_token", None, "tok_secret_1", (None, "…")),
        ("amount", "12.50", "25.00", ("12.50", "25.00")),
        ("created_at", BORN, BORN, (BORN.isoformat(), BORN.isoformat())),
        ("current_step", "checkout", "x" * 99, ("checkout", "x" * 64 + "…")),
        (
            "customer",
            {"firstName": "Ana", "phone": "1"},
            {"firstName": "Eva", "phone": "1", "zip": "2"},
            (["firstName"], ["firstName", "zip"]),
        ),
        (
            "metadata",
            {"note": "a", "legacy": {"cookie": {"x": 1}}},
            {"legacy": {"cookie": {"x": 2}, "database": {}}},
            (["legacy.cookie", "note"], ["legacy.cookie", "legacy.database"]),
        ),
        (
            "upsells",
            {"accepted": ["a"]},
            {"declined": ["a"]},
            ({"accepted": ["a"], "declined": []}, {"accepted": [], "declined": ["a"]}),
        ),
        (
            "products",
            [],
            [{"id": "SOIL", "quantity": 1, "price": "12.50"}],
            ([], [{"id": "SOIL", "quantity": 1, "price": "12.50"}]),
        ),
    ],
)
def test_what_is_shown_of_a_value(
    field: str, ours: Any, theirs: Any, shown: tuple[Any, Any]
) -> None:
    found = evidence_of(field, ours=ours, theirs=theirs)

    assert (found["unified"], found["legacy"]["database"]) == shown


def test_a_merges_conflicts_say_what_each_store_says() -> None:
    result = merge(
        [
            Candidate(store=Store.UNIFIED, session=snapshot(transaction_id="3094896636")),
            Candidate(store=Store.DATABASE, session=snapshot(transaction_id="3029929089")),
            Candidate(store=Store.LOCAL_STORAGE, session=snapshot(status="completed")),
        ]
    )

    assert of_conflicts(result.conflicts) == [
        {
            "field": "transaction_id",
            "rule": "must_agree",
            "blocks": True,
            "unified": "…6636",
            "legacy": {"database": "…9089"},
        },
        {
            "field": "status",
            "rule": "browser",
            "blocks": False,
            "unified": "pending",
            "legacy": {"local_storage": "completed"},
        },
    ]


def test_without_a_row_of_ours_there_is_nothing_of_it() -> None:
    result = merge(
        [
            Candidate(store=Store.DATABASE, session=snapshot(email="ana@example.org")),
            Candidate(store=Store.COOKIE, session=snapshot(email="eva@example.org")),
        ]
    )

    (found,) = of_conflicts(result.conflicts)

    assert found["unified"] is None
    assert found["legacy"] == {"database": "a•••@example.org", "cookie": "e•••@example.org"}


def test_what_a_browser_sends_is_not_kept_at_any_length() -> None:
    lines = [{"id": "x" * 500, "quantity": 1} for _ in range(300)]
    claim = snapshot(
        products=lines,
        upsells={"accepted": [f"{n}{'x' * 500}" for n in range(300)]},
        customer={f"{n}{'x' * 500}": 1 for n in range(300)},
    )

    found = of_fields(
        ["products", "upsells", "customer"],
        unified=snapshot(),
        legacy=claim,
        store=Store.LOCAL_STORAGE,
    )

    assert len(json.dumps(found)) < 10_000
