"""The legacy stores as one endpoint's request uses them: read in its order, written as it did.

One of them, the primary store, holds sessions as a whole; the others hold parts of some.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from legacy_adapters import patience
from legacy_adapters.base import LegacyRecord
from legacy_adapters.conf import get_adapter, get_sources
from legacy_adapters.cookie.middleware import brought_cookies
from legacy_adapters.exceptions import (
    LegacyAdaptersError,
    SourceUnavailableError,
    UnreadableRecordError,
)
from legacy_adapters.merging.comparing import differing
from legacy_adapters.migration.importing.gathering import gather, together
from legacy_adapters.migration.sides.primary import answering, primary_name
from legacy_adapters.migration.sides.routes import route_of
from legacy_adapters.migration.use import is_written
from legacy_adapters.stores import Store
from sessions_unified import expiry
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.flow import EXPIRED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

    from legacy_adapters.base import LegacyAdapter
    from legacy_adapters.migration.importing.records import Reading
    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.snapshot import SessionSnapshot

logger = logging.getLogger(__name__)

_MICROSECOND = timedelta(microseconds=1)
_TIMES = ("created_at", "updated_at", "expires_at")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the old shop would know of a session.

    Attributes:
        session: the session.
        record: its record in the primary store; None: another store alone knows it.

    """

    session: SessionSnapshot
    record: LegacyRecord | None


class OldStores:
    """The legacy stores of one endpoint and one request."""

    def __init__(self, endpoint: str, request: HttpRequest | None) -> None:
        self._route = route_of(endpoint)
        self._request = request

    @cached_property
    def primary(self) -> LegacyAdapter:
        """The store that holds sessions as a whole."""
        return get_adapter(primary_name(), self._request)

    @cached_property
    def _others(self) -> list[LegacyAdapter]:
        """The stores that hold a part, which can be reached from here."""
        adapters = [
            get_adapter(name, self._request) for name in get_sources() if name != primary_name()
        ]
        return [each for each in adapters if self._request is not None or not each.needs_request]

    def find(self, session_id: str) -> Found | None:
        """Return what the endpoint's stores say of a session, past its end or not.

        They are read in the old order; of several the trusted ones are brought together by the
        merge rules, unless they contradict each other: then the primary store's word stands.

        Raises:
            DatabaseUnavailableError: the primary store did not answer.

        """
        asked = [each for each in self._readable() if each is not self.primary]
        found: dict[LegacyAdapter, Reading] = {}
        with answering():
            found |= gather([self.primary], session_id, peek=patience.peek, leave_out=_leave_out)
        for each in asked:
            if any(adapter is not self.primary for adapter in found):
                break  # as the old code: the cache was asked only if the cookie said nothing
            with suppress(SourceUnavailableError):
                found |= gather([each], session_id, peek=_living, leave_out=_leave_out)
        if not found:
            return None
        merged, own = together(found), found.get(self.primary)
        if own is None:
            return Found(session=merged.session, record=None)
        # The others' copies of its dates are rounded: what they say is no other end of it.
        times = {each: getattr(own.session, each) for each in _TIMES}
        session = own.session if merged.is_blocked else merged.session
        return Found(session=msgspec.structs.replace(session, **times), record=own.record)

    def _readable(self) -> list[LegacyAdapter]:
        kinds = [each for each in self._route.reads if each.is_trusted]
        ranked = [each for each in self._others if each.store in kinds]
        return sorted(ranked, key=lambda each: kinds.index(each.store))

    @contextmanager
    def holding(self, session_id: str) -> Iterator[None]:
        """Keep the old code from changing the session within the block; writes are one with it.

        Raises:
            DatabaseUnavailableError: the store did not answer; nothing in it was changed.

        """
        with answering(), self.primary.holding(session_id):
            yield

    def save(self, session: SessionSnapshot, *, before: LegacyRecord | None) -> Found:
        """Write into the primary store what differs there, and return what it holds then.

        Its end is never put earlier than it is there, or than the old shop's 24 hours: the old
        code knows no other way to stay alive.

        Raises:
            DatabaseUnavailableError: the store did not answer.
            UnwritableRecordError: it has no way to say it.

        """
        there = None if before is None else self.primary.to_unified(before)
        wanted = self.primary.from_unified(_timed(session, there), before=before)
        with answering():
            self.primary.save(_difference(wanted, before))
            stored = self.primary.peek(session.id)
        if stored is None:
            raise DatabaseUnavailableError(
                "The old shop's session vanished while it was written. Try again."
            )
        return Found(session=self.primary.to_unified(stored), record=stored)

    def delete(self, session_id: str) -> None:
        """Remove the session from every legacy store that can be reached.

        Raises:
            DatabaseUnavailableError: the primary store did not answer.

        """
        with answering():
            self.primary.delete(session_id)
        self.forget_parts(session_id)

    def meet_end(self, session_id: str) -> None:
        """Leave the primary store as the old code did when it met a session past its end."""
        with suppress(LegacyAdaptersError):
            self.primary.load(session_id)

    def forget_parts(self, session_id: str) -> None:
        """Remove the session from the stores that hold a part of it, where they can be reached."""
        for each in self._others:
            if each.supports_write:
                with suppress(LegacyAdaptersError):
                    each.delete(session_id)

    def tell_parts(self, session: SessionSnapshot) -> None:
        """Write the parts that the endpoint wrote: the cookie, the cache. A failure is logged.

        They are copies: what they lack is mended at the browser's next visit.
        """
        for each in self._others:
            if each.store in self._route.writes and each.supports_write:
                self._tell(each, session)

    def mend(self, session: SessionSnapshot, view: StageView) -> None:
        """Write the old cookie anew where the request brings one that says something else.

        While any endpoint still writes it for this session.
        """
        request = self._request
        if request is None or not request.COOKIES or not is_written(Store.COOKIE, session.id, view):
            return
        for each in brought_cookies(request):
            record = each.peek(session.id)
            if record is not None and self._differs(each, record, session):
                self._tell(each, session)

    @staticmethod
    def _differs(adapter: LegacyAdapter, record: LegacyRecord, session: SessionSnapshot) -> bool:
        try:
            there = adapter.to_unified(record)
        except UnreadableRecordError:
            return True
        now = get_clock().now()
        return bool(differing(there, session, fields=adapter.fields, now=now, store=adapter.store))

    def _tell(self, adapter: LegacyAdapter, session: SessionSnapshot) -> None:
        try:
            before = adapter.peek(session.id)
            if session.status == EXPIRED:
                adapter.delete(session.id)
            else:
                adapter.save(adapter.from_unified(session, before=before))
        except (LegacyAdaptersError, UnreadableRecordError) as exc:
            logger.info(
                "Session %s was not written to the legacy store %r: %s",
                session.id,
                adapter.source,
                exc,
            )


def _timed(session: SessionSnapshot, there: SessionSnapshot | None) -> SessionSnapshot:
    """Return the session with the dates that the store should have: see `OldStores.save`.

    Each write is later than the one before: ``updated_at`` is the version there.
    """
    if there is None:
        end = expiry.absolute_limit(session.created_at)
        return msgspec.structs.replace(session, expires_at=max(session.expires_at, end))
    return msgspec.structs.replace(
        session,
        expires_at=max(session.expires_at, there.expires_at),
        updated_at=max(session.updated_at, there.updated_at + _MICROSECOND),
    )


def _difference(wanted: LegacyRecord, before: LegacyRecord | None) -> LegacyRecord:
    """Return what is to be written: what the old code has changed meanwhile elsewhere stays."""
    if before is None:
        return wanted
    data = {
        name: value
        for name, value in wanted.data.items()
        if name not in before.data or before.data[name] != value
    }
    return LegacyRecord.of(wanted.id, data)


def _living(adapter: LegacyAdapter, session_id: str) -> LegacyRecord | None:
    """Read a part as the old code did: past its end it is none."""
    return adapter.load(session_id)


def _leave_out(adapter: LegacyAdapter, reason: str) -> None:
    logger.warning("A record of the legacy store %r is left out: %s", adapter.source, reason)
