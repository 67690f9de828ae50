"""Reads and writes the old shop's cache: a mapping of session ids to the old cookie's data."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils.module_loading import import_string

from legacy_adapters.base import AdapterHealth, Batch, LegacyAdapter, LegacyRecord, digest_of
from legacy_adapters.exceptions import (
    SourceUnavailableError,
    UnreadableRecordError,
    UnwritableRecordError,
)
from legacy_adapters.fields import values
from legacy_adapters.memory_cache import mapping as mapped
from legacy_adapters.memory_cache.store import SESSIONS, answering, is_over
from legacy_adapters.stores import Store
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.flow import get_flow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.http import HttpRequest

    from sessions_unified.snapshot import SessionSnapshot


class MemoryCacheAdapter(LegacyAdapter):
    """Any mapping of id → session data; by default the one of this process.

    Attributes:
        mapping: the mapping, or its dotted path. One that can be changed can be written.
        shared: every process sees the same entries, as in a mapping over a server. Only such a
            mapping is listed: of a process's own the others' entries would be missing.

    """

    store: ClassVar[Store] = Store.MEMORY_CACHE
    fields: ClassVar[frozenset[str]] = mapped.FIELDS

    def __init__(
        self,
        *,
        source: str,
        request: HttpRequest | None = None,
        mapping: Mapping[str, Any] | str | None = None,
        shared: bool = False,
    ) -> None:
        super().__init__(source=source, request=request)
        found = import_string(mapping) if isinstance(mapping, str) else mapping
        self.mapping: Mapping[str, Any] = SESSIONS if found is None else found
        if not isinstance(self.mapping, Mapping):
            raise TypeError(f"{mapping!r} is no mapping")
        self.supports_scan = shared
        self.supports_write = isinstance(self.mapping, MutableMapping)

    def peek(self, session_id: str) -> LegacyRecord | None:
        """Return the entry of an id."""
        with answering(self.source):
            found = self.mapping.get(session_id)
        return None if found is None else _record(session_id, found)

    def is_expired(self, record: LegacyRecord) -> bool:
        """Tell whether ``expiresAt`` has come; a date that is none never comes."""
        return is_over(record.data, get_clock().now())

    def _expire(self, record: LegacyRecord) -> None:
        """Delete it, as the old code's get did."""
        if record.id is not None and self.supports_write:
            self.delete(record.id)

    def save(self, record: LegacyRecord) -> None:
        """Put the entry's fields; who writes the same session at the same moment wins whole."""
        entries = self._writable()
        if record.id is None:
            raise UnwritableRecordError("id is missing")
        with answering(self.source):
            before = entries.get(record.id)
            others = before if isinstance(before, Mapping) else {}
            merged = {**others, **record.data}
            entries[record.id] = {
                name: value for name, value in merged.items() if value is not None
            }

    def delete(self, session_id: str) -> bool:
        """Remove the entry of an id."""
        entries = self._writable()
        with answering(self.source):
            return entries.pop(session_id, None) is not None

    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        """Return the session that an entry describes, in the site's currency."""
        if record.problem is not None:
            raise UnreadableRecordError(record.problem)
        return mapped.to_session(
            record.data, store=self.store, flow=get_flow(), currency=get_conf().DEFAULT_CURRENCY
        )

    def from_unified(
        self, session: SessionSnapshot, *, before: LegacyRecord | None = None
    ) -> LegacyRecord:
        """Return the entry that says what the session says; it ends in 30 minutes at most."""
        data = mapped.to_data(
            session,
            store=self.store,
            before=None if before is None else before.data,
            flow=get_flow(),
            now=get_clock().now(),
        )
        return LegacyRecord.of(session.id, data)

    def health(self) -> AdapterHealth:
        """Say whether the mapping answers."""
        try:
            self.peek("")
        except SourceUnavailableError as exc:
            return AdapterHealth(source=self.source, problem=str(exc))
        return AdapterHealth(source=self.source)

    def scan(
        self,
        after: str | None = None,
        *,
        until: str | None = None,
        since: datetime | None = None,
        batch_size: int = 500,
    ) -> Iterator[Batch]:
        """Yield the entries in the order of their ids; none says when it was changed last."""
        if not self.supports_scan:
            return super().scan(after)
        return self._batches(after, until, batch_size)

    def _batches(self, after: str | None, until: str | None, size: int) -> Iterator[Batch]:
        while True:
            with answering(self.source):
                keys = heapq.nsmallest(size, self._keys(after, until))
                found = [(key, self.mapping.get(key)) for key in keys]
            if not keys:
                return
            after = keys[-1]
            records = tuple(_record(key, data) for key, data in found if data is not None)
            if records:
                yield Batch(records=records, cursor=after)

    def count(self, *, since: datetime | None = None) -> int:
        """Return how many entries there are."""
        if not self.supports_scan:
            return super().count()
        with answering(self.source):
            return sum(1 for _ in self._keys())

    def boundaries(self, parts: int) -> tuple[str, ...]:
        """Return ids that cut the entries into even parts."""
        if not self.supports_scan:
            return super().boundaries(parts)
        with answering(self.source):
            keys = sorted(self._keys())
        cuts = (len(keys) * part // parts - 1 for part in range(1, parts))
        return tuple(dict.fromkeys(keys[cut] for cut in cuts if cut >= 0))

    def _keys(self, after: str | None = None, until: str | None = None) -> Iterator[str]:
        keys: list[Any] = list(self.mapping)  # a shop may have others in it
        for key in (each for each in keys if isinstance(each, str)):
            if (after is None or key > after) and (until is None or key <= until):
                yield key

    def _writable(self) -> MutableMapping[str, Any]:
        if not isinstance(self.mapping, MutableMapping):
            raise self._cannot("be written")
        return self.mapping


def _record(session_id: str, value: Any) -> LegacyRecord:
    data = values.unwrapped(value)
    if not isinstance(data, Mapping):
        problem = "its entry is no object"
        return LegacyRecord(id=session_id, data={}, digest=digest_of(repr(value)), problem=problem)
    try:
        return LegacyRecord.of(session_id, {str(name): item for name, item in data.items()})
    except (TypeError, ValueError, RecursionError):
        problem = "its entry is no JSON: it is nested too deeply, or has keys that are no text"
        return LegacyRecord(id=session_id, data={}, digest=digest_of(session_id), problem=problem)
