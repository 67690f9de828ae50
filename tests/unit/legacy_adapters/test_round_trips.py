"""Whatever JSON a cookie's data or a browser's entry holds, it comes back as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from legacy_adapters.base import LegacyRecord
from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.local_storage import LocalStorageAdapter
from legacy_adapters.memory_cache import MemoryCacheAdapter
from sessions_unified.card_data import find_card_data
from tests.browsers import entry
from tests.json_values import json_values
from tests.legacy_tokens import data

if TYPE_CHECKING:
    from legacy_adapters.base import LegacyAdapter

pytestmark = pytest.mark.django_db

names = st.text(min_size=1, max_size=20).map(lambda name: f"x{name}")


def there_and_back(adapter: LegacyAdapter, fields: dict[str, Any]) -> bool:
    """Assert that a record comes back saying the same; tell whether it could be read at all."""
    assume(find_card_data(fields) is None)  # what does not come along
    before = LegacyRecord.of(fields["id"], fields)
    try:
        session = adapter.to_unified(before)
    except UnreadableRecordError:
        return False
    again = adapter.from_unified(session, before=before)
    assert again.digest == before.digest
    return True


@settings(max_examples=60)
@given(unknown=st.dictionaries(names, json_values, max_size=3), customer=json_values)
def test_a_browsers_entry(unknown: dict[str, Any], customer: Any) -> None:
    adapter = LocalStorageAdapter(source="local_storage")

    assert there_and_back(adapter, entry(customerInfo=customer, **unknown))


@settings(max_examples=60)
@given(unknown=st.dictionaries(names, json_values, max_size=3))
def test_session_data(unknown: dict[str, Any]) -> None:
    adapter = MemoryCacheAdapter(source="memory_cache", mapping={})

    assert there_and_back(adapter, {**data(), **unknown})
