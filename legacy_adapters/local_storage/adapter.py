"""Reads and writes one browser's localStorage: by the request that brings it, and its response."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from legacy_adapters.base import AdapterHealth, LegacyAdapter, LegacyRecord
from legacy_adapters.exceptions import UnreadableRecordError, UnwritableRecordError
from legacy_adapters.fields import values
from legacy_adapters.local_storage.mapping import to_session
from legacy_adapters.local_storage.store import attached
from legacy_adapters.local_storage.writing import to_entry
from legacy_adapters.stores import Store
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.flow import get_flow
from sessions_unified.snapshot import SessionSnapshot

if TYPE_CHECKING:
    from django.http import HttpRequest


class LocalStorageAdapter(LegacyAdapter):
    """One key of the localStorage of the browser that sent it with the request.

    Attributes:
        key: the key that the old pages use; answers name it.
        syncs_per_minute: how often one address, and one session, may send it.
        trusted_proxies: how many reverse proxies of the site add to ``X-Forwarded-For``.

    """

    store: ClassVar[Store] = Store.LOCAL_STORAGE
    # Neither the vault id, which a browser is never sent, nor what the format has no place for.
    fields: ClassVar[frozenset[str]] = frozenset(SessionSnapshot.__struct_fields__) - {
        *("amount", "currency", "metadata", "payment_token", "vault_id", "version"),
    }
    supports_write = True
    needs_request = True

    def __init__(
        self,
        *,
        source: str,
        request: HttpRequest | None = None,
        key: str = "webseed_funnel_sessions",
        syncs_per_minute: int = 30,
        trusted_proxies: int = 0,
    ) -> None:
        super().__init__(source=source, request=request)
        self.key = key
        self.syncs_per_minute = syncs_per_minute
        self.trusted_proxies = trusted_proxies

    def peek(self, session_id: str) -> LegacyRecord | None:
        """Return the entry of an id; None where the request brought no storage."""
        store = attached(self.request)
        return None if store is None else store.get(session_id)

    def present(self) -> tuple[LegacyRecord, ...]:
        """Return every entry that is a JSON object under a session's id."""
        store = attached(self.request)
        found = (store.get(session_id) for session_id in store.ids()) if store is not None else ()
        return tuple(record for record in found if record is not None)

    def is_expired(self, record: LegacyRecord) -> bool:
        """Tell whether ``expiresAt`` has come; a date that is none never comes."""
        try:
            return values.moment(record.data.get("expiresAt")) <= get_clock().now()
        except ValueError:
            return False

    def _expire(self, record: LegacyRecord) -> None:
        """Have the browser delete the entry, as its own code did."""
        if record.id is not None:
            self.delete(record.id)

    def save(self, record: LegacyRecord) -> None:
        """Have the browser hold these fields of the entry, never a vault id."""
        store = attached(self.request)
        if store is None or record.id is None:
            raise UnwritableRecordError("the request brought no storage, or the record has no id")
        store.put(record.id, record.data)

    def delete(self, session_id: str) -> bool:
        """Have the browser forget the entry."""
        store = attached(self.request)
        return store is not None and store.remove(session_id)

    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        """Return the session that an entry describes: a browser's word."""
        if record.problem is not None:
            raise UnreadableRecordError(record.problem)
        return to_session(record.data, flow=get_flow(), currency=get_conf().DEFAULT_CURRENCY)

    def from_unified(
        self, session: SessionSnapshot, *, before: LegacyRecord | None = None
    ) -> LegacyRecord:
        """Return the entry that says what the session says, without its vault id."""
        data = to_entry(session, before=None if before is None else before.data, flow=get_flow())
        return LegacyRecord.of(session.id, data)

    def health(self) -> AdapterHealth:
        """Say that nothing is wrong: there is no server to ask."""
        return AdapterHealth(source=self.source)
