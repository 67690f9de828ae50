"""What the legacy store of a conflict says now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from legacy_adapters.conf import get_adapter
from legacy_adapters.exceptions import UnknownSourceError, UnreadableRecordError
from legacy_adapters.merging.comparing import KEPT_ASIDE, differing
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from legacy_adapters.models import SessionConflict
    from legacy_adapters.stores import Store
    from sessions_unified.snapshot import SessionSnapshot


@dataclass(frozen=True, kw_only=True)
class FoundRecord:
    """A legacy record as it is now.

    Attributes:
        session: what it says; None if nothing can be taken from it.
        digest: of the record; as the conflict has it where the record cannot be read.
        problem: why there is no ``session``; empty if there is one.
        fields: what the store has a place for.
        store: its kind.

    """

    session: SessionSnapshot | None
    digest: str
    problem: str = ""
    fields: frozenset[str] = frozenset()
    store: Store | None = None

    def differing(self, ours: SessionSnapshot) -> tuple[str, ...]:
        """Return the names of the fields in which it differs from the session here."""
        if self.session is None:
            return ()
        now = get_clock().now()
        return differing(self.session, ours, fields=self.fields, now=now, store=self.store)


def read_record(conflict: SessionConflict) -> FoundRecord:
    """Read the record of a conflict, if its store can be read without its browser.

    Raises:
        SourceUnavailableError: the store did not answer.

    """
    try:
        adapter = get_adapter(conflict.source)
    except UnknownSourceError:
        return _none(conflict, "LEGACY_ADAPTERS has no such store any more.")
    if adapter.needs_request:
        return _none(conflict, "It lives in the shopper's browser, where it cannot be looked up.")
    record = adapter.peek(conflict.session_id)
    if record is None:
        return _none(conflict, "The store has no such record now.")
    try:
        session = adapter.to_unified(record)
    except UnreadableRecordError as exc:
        text = f"The record cannot be read: {exc.reason}."
        return FoundRecord(session=None, digest=record.digest, problem=text)
    return FoundRecord(
        session=session,
        digest=record.digest,
        fields=adapter.fields | KEPT_ASIDE,
        store=adapter.store,
    )


def _none(conflict: SessionConflict, problem: str) -> FoundRecord:
    return FoundRecord(session=None, digest=conflict.digest, problem=problem)
