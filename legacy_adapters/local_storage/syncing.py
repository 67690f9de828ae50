"""One browser's sessions and ours, brought together: what it may see, keep, drop, begin again.

The shopper's token opens one session. Of all others nothing is looked up, so that the answer is the
same whether they exist or not (promise R36): they are judged by the browser's own word alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters import metrics
from legacy_adapters.contact import import_on_contact
from legacy_adapters.exceptions import UnwritableRecordError
from legacy_adapters.local_storage import keeping
from legacy_adapters.local_storage.copying import Refusals
from legacy_adapters.local_storage.meeting import meet
from legacy_adapters.local_storage.readings import is_bought, newest_order, read
from legacy_adapters.migration.stages.pinning import seen_stages
from legacy_adapters.migration.unseen import note_seen
from legacy_adapters.migration.use import is_migrating, is_written
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionExpiredError, SessionNotFoundError
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from legacy_adapters.base import LegacyRecord
    from legacy_adapters.local_storage.adapter import LocalStorageAdapter
    from legacy_adapters.local_storage.readings import Reading
    from legacy_adapters.local_storage.store import BrowserStore
    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot

MAX_PROBLEMS: Final = 100
"""So many are told. An entry can hold thousands, and the answer would be many times the request."""


@dataclass(kw_only=True)
class Sync:
    """One synchronisation; `run` fills it.

    Attributes:
        adapter: reads and writes the browser's storage.
        manager: acts for the shopper.
        store: the storage itself: what is to be kept and dropped.
        own: the one session that the caller may see, if it is alive.
        start_over: lines of ``{id, quantity}`` to begin a new session with.
        problems: what was not read or not taken: ``{code, detail}``, and ``id`` of an entry.

    """

    adapter: LocalStorageAdapter
    manager: UnifiedSessionManager
    store: BrowserStore
    own: SessionSnapshot | None = None
    start_over: list[dict[str, Any]] | None = None
    problems: list[dict[str, str]] = field(default_factory=list)
    _over: list[Reading] = field(default_factory=list)

    def run(self, own_id: str | None) -> None:
        """Bring both sides together; ``own_id`` is the session that the caller's token opens.

        Raises:
            SourceUnavailableError: what the legacy stores know of it could not be read.
            DatabaseUnavailableError: ours did not answer; nothing was copied.

        """
        readings = self._read()
        own = None if own_id is None else readings.pop(own_id, None)
        result = "none"
        if own_id is not None:
            result = "own" if self._meet(own_id, own) else "gone"
        metrics.SYNCS.labels(result).inc()
        left = [each for each in readings.values() if self._is_alive(each)]
        if self.own is None:
            self.start_over = newest_order([*left, *self._over])

    def _read(self) -> dict[str, Reading]:
        """Return the entries by id; tell and keep what nobody can read."""
        readings, broken = read(self.adapter)
        broken = [*self.store.blob.broken, *broken]
        keeping.keep(broken, source=self.adapter.source, now=get_clock().now())
        for each in broken:
            code = "unreadable_blob" if each.key is None else "unreadable_entry"
            self._tell(code, each.reason, each.id)
        return readings

    def _is_alive(self, reading: Reading) -> bool:
        """Judge an entry by its own word; one that is past its end is dropped, as ever."""
        is_alive = self.adapter.load(reading.session.id) is not None
        metrics.SYNCED_ENTRIES.labels("foreign" if is_alive else "expired").inc()
        return is_alive

    def _meet(self, session_id: str, reading: Reading | None) -> bool:
        """Bring the caller's own session and its entry together; tell whether it is alive."""
        record = self.adapter.peek(session_id)
        if reading is not None:
            metrics.SYNCED_ENTRIES.labels("own").inc()
            if self.adapter.is_expired(reading.record):
                reading = None  # past its end it says nothing, as ever
        try:
            session = self._found(session_id)
            if reading is not None:
                note_seen(get_tiers(), self.adapter.source, session_id)
                session = self._met(session, reading)
        except (SessionNotFoundError, SessionExpiredError) as exc:
            self.adapter.delete(session_id)
            if reading is not None and not _was_bought(exc):
                self._over.append(reading)
            return False
        self.own = session
        self._write(session, record)
        return True

    def _found(self, session_id: str) -> SessionSnapshot:
        """Return the session; one that is not here, as trusted stores know it: never this one."""
        try:
            return self.manager.get_session(session_id, fresh=True)
        except SessionNotFoundError:
            if import_on_contact(session_id, self.adapter.request) is None:
                raise
        return self.manager.get_session(session_id, fresh=True)

    def _met(self, session: SessionSnapshot, reading: Reading) -> SessionSnapshot:
        refusals = Refusals()
        session = meet(
            session, reading, source=self.adapter.source, manager=self.manager, refusals=refusals
        )
        for code, detail in refusals.told:
            self._tell(code, detail, session.id)
        return session

    def _write(self, session: SessionSnapshot, record: LegacyRecord | None) -> None:
        """Have the browser hold the session; it keeps what it has where its format has no words.

        Nothing once no endpoint writes browsers' storages any more.
        """
        request = self.adapter.request
        if is_migrating() and not is_written(
            self.adapter.store, session.id, seen_stages(get_tiers(), request)
        ):
            return
        try:
            self.adapter.save(self.adapter.from_unified(session, before=record))
        except UnwritableRecordError:
            return

    def _tell(self, code: str, detail: str, session_id: str | None) -> None:
        if len(self.problems) == MAX_PROBLEMS:
            return
        problem = {"code": code, "detail": detail}
        self.problems.append(problem if session_id is None else {**problem, "id": session_id})


def _was_bought(exc: SessionNotFoundError | SessionExpiredError) -> bool:
    last = exc.session if isinstance(exc, SessionExpiredError) else None
    return last is not None and is_bought(last)
