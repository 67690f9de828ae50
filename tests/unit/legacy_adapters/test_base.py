"""What an adapter is by default: it can do little, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from legacy_adapters.base import AdapterHealth, LegacyAdapter, LegacyRecord
from legacy_adapters.exceptions import (
    LegacyAdaptersError,
    SourceUnavailableError,
    UnknownSourceError,
    UnreadableRecordError,
)
from legacy_adapters.stores import Store
from tests.sessions import snapshot

if TYPE_CHECKING:
    from sessions_unified.snapshot import SessionSnapshot


class CookieLikeAdapter(LegacyAdapter):
    store = Store.COOKIE
    fields = frozenset({"email"})

    def peek(self, session_id: str) -> LegacyRecord | None:
        return None

    def is_expired(self, record: LegacyRecord) -> bool:
        return False

    def from_unified(
        self, session: SessionSnapshot, *, before: LegacyRecord | None = None
    ) -> LegacyRecord:
        return LegacyRecord.of(session.id, {})

    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        return snapshot()

    def health(self) -> AdapterHealth:
        return AdapterHealth(source=self.source, problem="out")


def test_an_adapter_supports_nothing_unless_it_says_so() -> None:
    adapter = CookieLikeAdapter(source="cookie")

    assert not (adapter.supports_scan)
    assert not (adapter.supports_write)
    assert not (adapter.needs_request)
    assert not adapter.health().is_healthy
    with pytest.raises(LegacyAdaptersError, match="'cookie' cannot list"):
        adapter.scan()
    with pytest.raises(LegacyAdaptersError, match="'cookie' cannot count"):
        adapter.count()


def test_errors_say_what_to_do_by_themselves() -> None:
    assert "LEGACY_ADAPTERS" in str(UnknownSourceError())
    assert "Nothing was changed" in str(SourceUnavailableError())
    assert str(UnreadableRecordError("email is missing")) == "email is missing"
