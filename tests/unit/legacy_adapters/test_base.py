"""What an adapter is by default: it can do little, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from legacy_adapters.base import AdapterHealth, LegacyAdapter, LegacyRecord
from legacy_adapters.database.store import Table
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


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("funnel_sessions", '"funnel_sessions"'),
        ("old.funnel_sessions", '"old"."funnel_sessions"'),
        ('x"; DROP TABLE users; --', '"x""; DROP TABLE users; --"'),
    ],
)
def test_a_table_s_name_is_always_a_name(name: str, quoted: str) -> None:
    assert Table(alias="default", name=name).quoted == quoted


def test_a_percent_sign_in_a_name_is_no_parameter() -> None:
    table = Table(alias="default", name="50%s")

    assert table.statement("SELECT 1 FROM {} WHERE id = %s") == (
        'SELECT 1 FROM "50%%s" WHERE id = %s'
    )
