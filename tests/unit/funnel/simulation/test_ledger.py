"""What contradicts what a shopper was told, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from funnel.simulation import Facts, Ledger

SERUM = {"upsell-1-serum": {"transactionId": "t-2", "amount": 29.99}}


def state(**fields: Any) -> dict[str, Any]:
    return {
        "id": "ws_a_b",
        "email": "ana@example.org",
        "customer": {"firstName": "Ana"},
        "products": [{"id": "SOIL", "quantity": 1, "price": 12.5}],
        "amount": 12.5,
        "currency": "USD",
        "transactionId": "t-1",
        "currentStep": "upsell-2",
        "upsells": {"accepted": ["upsell-1-serum"], "declined": [], "details": SERUM},
        "metadata": {"page": 1},
        "expiresAt": "2026-11-20T12:00:00.000000Z",
    } | fields


def facts(**fields: Any) -> Facts:
    return Facts(session_id="ws_a_b", said=state(**fields))


def upsells(
    accepted: list[str], declined: list[str], details: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"accepted": accepted, "declined": declined, "details": details or {}}


@pytest.mark.parametrize(
    "changed",
    [
        {"email": "eve@example.org"},
        {"customer": None},
        {"products": []},
        {"amount": 13},
        {"currency": "EUR"},
        {"transactionId": None},
        {"transactionId": "t-9"},
        {"metadata": {}},
        {"metadata": {"page": 2}},
        {"currentStep": "checkout"},
        {"upsells": upsells([], [])},
        {"upsells": upsells(["upsell-1-serum"], ["upsell-2-lamp"], SERUM)},
        {"upsells": upsells(["upsell-1-serum", "upsell-2-lamp"], [], SERUM)},
        {"upsells": upsells(["upsell-1-serum"], [])},
        {"upsells": upsells(["upsell-1-serum"], [], {"upsell-1-serum": {"transactionId": "t-9"}})},
    ],
    ids=str,
)
def test_what_was_acknowledged_must_be_there(changed: dict[str, Any]) -> None:
    assert len(list(facts().contradictions(state(**changed)))) >= 1


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"currentStep": "success"},
        {"metadata": {"page": 1, "of somebody else": 2}},
        {"version": 99, "updatedAt": "later"},
    ],
    ids=str,
)
def test_what_moves_on_by_itself_is_no_loss(changed: dict[str, Any]) -> None:
    assert list(facts().contradictions(state(**changed))) == []


@pytest.mark.parametrize(
    ("unsure", "changed"),
    [
        ("email", {"email": "new@example.org"}),
        ("metadata.page", {"metadata": {"page": 2}}),
        ("currentStep", {"currentStep": "processing"}),
        ("transactionId", {"transactionId": "t-9"}),
        (
            "offer:upsell-2-lamp",
            {"upsells": upsells(["upsell-1-serum", "upsell-2-lamp"], [], SERUM)},
        ),
    ],
)
def test_what_was_never_answered_may_have_happened(unsure: str, changed: dict[str, Any]) -> None:
    told = facts()

    told.doubt(unsure)

    assert list(told.contradictions(state(**changed))) == []
    assert list(facts().contradictions(state(**changed))) != []


def test_a_session_is_over_at_its_last_known_end() -> None:
    assert facts().is_over(datetime(2026, 11, 20, 12, tzinfo=UTC))
    assert not facts().is_over(datetime(2026, 11, 20, 11, 59, tzinfo=UTC))


def test_a_session_is_remembered_once() -> None:
    ledger = Ledger()

    first = ledger.open("ws_a_b", {"c": "1"})

    assert ledger.open("ws_a_b", {"c": "2"}) is first
    assert ledger.sessions == {"ws_a_b": first}


def test_a_write_whose_answer_lacks_what_was_said_before_shows_a_loss() -> None:
    told = facts()

    assert told.acknowledge(state(email="new@example.org"), "email") == []
    gone = told.acknowledge(state(email="new@example.org", metadata={"left": 1}), "metadata.left")

    assert gone == ["metadata.page is None, not 1"]
    # It stays said: the look at the end finds it too.
    assert told.said["metadata"] == {"page": 1, "left": 1}
