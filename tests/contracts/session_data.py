"""The contract of the adapters that hold the old cookie's session data: the cookie, the cache."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from legacy_adapters.fields.reading import kept_of
from sessions_unified.testing import FrozenClock
from tests.contracts.legacy_adapter import IDS, LegacyAdapterContract
from tests.legacy_tokens import shifted

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from legacy_adapters.base import LegacyAdapter

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""Where the clock stands."""


def stop_clock(settings: SettingsWrapper) -> None:
    """Let the core's clock stand at `NOW`."""
    clock = f"{FrozenClock.__module__}.{FrozenClock.__name__}"
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"CLOCK": clock}


class SessionDataContract(LegacyAdapterContract):
    @pytest.fixture(autouse=True)
    def clock(self, settings: SettingsWrapper) -> None:
        stop_clock(settings)

    def example(self, session_id: str, *, email: str = "ana@example.org") -> dict[str, Any]:
        return shifted(NOW, id=session_id, email=email, state="NY")

    def expired_example(self, session_id: str) -> dict[str, Any]:
        return shifted(NOW - timedelta(hours=1), id=session_id)

    def broken_example(self, session_id: str) -> dict[str, Any]:
        return shifted(NOW, id=session_id, email="no address")

    def changes(self, adapter: LegacyAdapter) -> dict[str, Any]:
        # The format has no place for an end past its thirty minutes.
        return super().changes(adapter) | {"expires_at": NOW + timedelta(minutes=7)}

    def test_a_changed_session_is_saved(self, written: LegacyAdapter) -> None:
        self.put(written, self.odd_example(IDS[0]))
        before = self.peeked(written)
        session = written.to_unified(before)
        changed = msgspec.structs.replace(session, **self.changes(written))

        written.save(written.from_unified(changed, before=before))

        after = self.afterwards(written)
        found = after.to_unified(self.peeked(after))
        self.same(written, found, changed)
        # With a new vault id the data says since when.
        since = {"lastVaultUpdate": int(session.updated_at.timestamp() * 1000)}
        assert kept_of(found, written.store) == {**kept_of(session, written.store), **since}
