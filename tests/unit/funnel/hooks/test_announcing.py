"""Which events are handed on, and as what."""

from __future__ import annotations

from typing import Any

import pytest

from funnel.hooks.announcing import event_id, facts_of, types_of
from sessions_unified.event_log import Entry, Place
from tests.sessions import BORN

ENDS = ["processing", "completed"]


def entry(kind: str, data: dict[str, Any], *, actor: str = "system") -> Entry:
    return Entry(Place(1, 1), "ws_1_a", 7, kind, [], data, actor, BORN)


@pytest.mark.parametrize(
    ("kind", "data", "types"),
    [
        ("session_updated", {"status": ENDS}, ("session_completed",)),
        ("session_completed", {"status": ENDS}, ("session_completed",)),
        ("charge_succeeded", {"status": ["expired", "completed"]}, ("session_completed",)),
        ("upsell_succeeded", {}, ("upsell_paid",)),
        ("upsell_succeeded", {"status": ENDS}, ("upsell_paid", "session_completed")),
        ("charge_succeeded", {"step": ["processing", "upsell-1"]}, ()),
        ("charge_succeeded", {"amount": "1.00"}, ("order_paid",)),
        ("charge_refunded", {"refund": "r-1"}, ("refunded",)),
        ("charge_voided", {"refund": "r-1"}, ("refunded",)),
        ("charge_voided", {"outcome": "voided"}, ()),
        ("charge_surplus", {}, ()),
        ("upsell_declined", {}, ()),
        ("session_updated", {"status": ["completed", "completed"]}, ()),
        ("session_updated", {"status": ["pending", "processing"]}, ()),
        ("session_imported", {"status": "completed"}, ()),
        ("session_created", {}, ()),
    ],
)
def test_an_event_is_handed_on_as(kind: str, data: dict[str, Any], types: tuple[str, ...]) -> None:
    assert types_of(entry(kind, data)) == types


def test_an_order_that_an_import_ends_is_the_old_shops() -> None:
    ended = entry("session_completed", {"status": ENDS}, actor="import:database")

    assert types_of(ended) == ()


def test_the_ids_of_one_event_are_distinct_and_always_the_same() -> None:
    ends = entry("upsell_succeeded", {"status": ENDS})

    ids = [event_id(ends, kind) for kind in types_of(ends)]

    assert ids == ["evt_ws_1_a_7_upsell_paid", "evt_ws_1_a_7_session_completed"]


def test_the_longest_id_fits_its_column() -> None:
    from funnel.hooks.event import TYPES
    from funnel.hooks.models import HookDelivery

    longest = entry("x", {})._replace(session_id=f"ws_{'a' * 16}_{'b' * 40}", seq=10**15)

    sizes = [len(event_id(longest, kind)) for kind in TYPES]

    assert max(sizes) <= HookDelivery._meta.get_field("event_id").max_length


def test_only_facts_that_a_target_may_know_are_kept() -> None:
    data = {"amount": "1.00", "currency": "USD", "vault": "v-1", "until": "tomorrow"}

    assert facts_of(entry("charge_refunded", data)) == {"amount": "1.00", "currency": "USD"}
