"""Numbers on their way through PostgreSQL's jsonb and Redis: the same, type and all, everywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies as st

from legacy_adapters.database.mapping import to_session
from legacy_adapters.merging.comparing import COMPARED, differing
from sessions_unified import ids
from sessions_unified.card_data import find_card_data
from sessions_unified.exceptions import InvalidChangeError
from sessions_unified.flow import get_flow
from sessions_unified.importing import import_sessions
from sessions_unified.jsonb import as_stored
from sessions_unified.snapshot import freeze
from tests.json_types import typed, typed_json
from tests.managing import ORDER, events, wait_for

if TYPE_CHECKING:
    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot

numbers = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(1e15, 2e19)
    | st.sampled_from([-0.0, 1.0, 1e16, 9999999999999998.0, 1e22, 1e23, 5e-324, 1e300, 2.0**63])
    | st.integers(-(2**70), 2**70)
    | st.decimals(-(10**20), 10**20, places=3)
)
values = st.recursive(
    numbers | st.booleans() | st.none() | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
).filter(lambda value: find_card_data(as_stored(freeze(value))) is None)  # refused: R41


def changes(value: Any) -> dict[str, Any]:
    """Return a change that has ``value`` wherever a session holds JSON."""
    return {
        "customer": {"x": value},
        "products": [{"id": "SOIL", "quantity": 1, "price": "12.50", "extra": {"x": value}}],
        "upsells": {"accepted": ["serum"], "details": {"serum": {"amount": value}}},
        "metadata": {"x": value},
    }


def held_everywhere(manager: UnifiedSessionManager, session_id: str) -> list[Any]:
    """Return what each tier that holds the session holds of JSON, after it has been read."""
    manager.get_session(session_id)
    tiers = manager._tiers
    held = [tier.peek(session_id) for tier in (tiers.memory, tiers.redis, tiers.database) if tier]
    return [typed_json(copy.session) for copy in held if copy is not None]


def assert_one_value(manager: UnifiedSessionManager, written: SessionSnapshot) -> None:
    expected = typed_json(written)

    assert typed_json(manager.get_session(written.id)) == expected
    assert typed_json(manager.get_session(written.id, fresh=True)) == expected
    assert all(held == expected for held in held_everywhere(manager, written.id))
    assert manager.validate_session(written.id).tiers_agree


@hypothesis.given(first=values, second=values)
def _every_tier_holds_what_was_returned(
    manager: UnifiedSessionManager, first: Any, second: Any
) -> None:
    created = manager.create_session(customer={"x": first}, metadata={"x": first})
    assert_one_value(manager, created)  # and now L1 and L2 hold a copy, which a write replaces
    updated = manager.update_session(created.id, changes(second))
    assert_one_value(manager, updated)

    with manager.lock_session(created.id) as locked:
        locked.update(changes(first), kind="session_updated")
        within = typed_json(locked.session)

    assert within == typed_json(manager.get_session(created.id))
    assert_one_value(manager, manager.get_session(created.id))


def test_every_tier_holds_what_was_returned(manager: UnifiedSessionManager) -> None:
    _every_tier_holds_what_was_returned(manager)


def test_l1_and_l2_hold_a_large_float_as_the_database_does(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(**ORDER)
    manager.get_session(created.id)

    updated = manager.update_session(created.id, changes(6.349506568312069e16))

    assert typed(updated.metadata) == {"x": "int 63495065683120688"}
    assert held_everywhere(manager, created.id) == [typed_json(updated)] * 3


@hypothesis.given(value=values)
def _the_same_again_is_no_change(manager: UnifiedSessionManager, value: Any) -> None:
    created = manager.create_session(**ORDER)
    first = manager.update_session(created.id, changes(value))

    again = manager.update_session(created.id, changes(value))
    by_the_row = manager.update_session(created.id, changes(value), if_version=first.version)

    assert first.version == again.version == by_the_row.version == 2
    assert len(events(created.id)) == 2


def test_the_same_again_is_no_change(manager: UnifiedSessionManager) -> None:
    _the_same_again_is_no_change(manager)


def test_true_in_the_place_of_one_is_a_change(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(metadata={"consent": 0, "seen": [1]})

    updated = manager.update_session(created.id, {"metadata": {"consent": False, "seen": [True]}})

    assert updated.version == 2
    assert_one_value(manager, updated)
    assert typed(updated.metadata) == {"consent": "bool False", "seen": ["bool True"]}


def test_a_number_beyond_64_bits_is_kept_but_not_in_redis(manager: UnifiedSessionManager) -> None:
    created = manager.create_session(metadata={"x": 1e300})
    assert manager._tiers.redis is not None

    again = manager.update_session(created.id, {"email": "bo@example.org"})

    assert created.metadata["x"] == again.metadata["x"] == 1e300
    assert_one_value(manager, again)
    # The message that ended Redis' copy may end a load of L1's too: then the next one is kept.
    wait_for(lambda: len(held_everywhere(manager, created.id)) == 2)
    assert manager._tiers.redis.peek(created.id) is None


@pytest.mark.parametrize("number", [float("nan"), float("-inf"), Decimal("1E+5000")])
def test_what_is_no_number_to_json_is_refused_by_name(
    manager: UnifiedSessionManager, number: Any
) -> None:
    created = manager.create_session(**ORDER)
    for field, value in changes(number).items():
        with pytest.raises(InvalidChangeError, match=f"^{field}: JSON has no number") as caught:
            manager.update_session(created.id, {field: value})
        assert caught.value.field == field

    assert manager.get_session(created.id, fresh=True) == created


@hypothesis.given(value=values)
def _an_imported_number_is_one_value(manager: UnifiedSessionManager, value: Any) -> None:
    now = datetime.now(UTC)
    record = {
        "id": ids.mint_session_id(int(now.timestamp() * 1000)),
        "email": "ana@example.org",
        "status": "pending",
        "current_step": "checkout",
        "customer_info": {"x": value},
        "products": [{"id": "SOIL", "quantity": 1, "x": value}],
        "created_at": now.isoformat(),
        "updated_at": now.isoformat(),
        "expires_at": (now + timedelta(days=1)).isoformat(),
    }
    legacy = to_session(record, flow=get_flow(), currency="USD")

    import_sessions(manager._tiers, [legacy], source="test")

    imported = manager.get_session(legacy.id)
    assert_one_value(manager, imported)
    assert differing(legacy, imported, fields=frozenset(COMPARED), now=now) == ()


def test_an_imported_number_is_one_value(manager: UnifiedSessionManager) -> None:
    _an_imported_number_is_one_value(manager)
