"""A session's first state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sessions_unified.creating import first_state
from sessions_unified.exceptions import InvalidChangeError
from sessions_unified.ids import is_session_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fields(**changes: Any) -> dict[str, Any]:
    return {"amount": None, "currency": "USD"} | changes


def test_it_begins_at_the_first_step_of_the_flow() -> None:
    session = first_state(fields(email="ana@example.org"), session_id="ws_1_a", now=NOW)

    assert (session.id, session.version, session.email) == ("ws_1_a", 1, "ana@example.org")
    assert (session.status, session.current_step) == ("pending", "checkout")
    assert session.created_at == session.updated_at == NOW
    assert session.expires_at == NOW + timedelta(hours=24)


def test_without_an_id_each_gets_its_own() -> None:
    first, second = (first_state(fields(), session_id=None, now=NOW) for _ in range(2))

    assert is_session_id(first.id)
    assert is_session_id(second.id)
    assert first.id != second.id


@pytest.mark.parametrize(("currency", "amount"), [("USD", "10.01"), ("JPY", "10")])
def test_its_amount_has_the_decimals_of_its_currency(currency: str, amount: str) -> None:
    given = fields(amount=Decimal("10.005"), currency=currency)

    session = first_state(given, session_id=None, now=NOW)

    assert str(session.amount) == amount


def test_a_value_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(InvalidChangeError, match="email"):
        first_state(fields(email=7), session_id=None, now=NOW)
