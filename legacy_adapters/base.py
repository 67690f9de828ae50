"""The role of an adapter: one kind of legacy store, in its own format."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import msgspec

from legacy_adapters.exceptions import UnsupportedOperationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from django.http import HttpRequest

    from legacy_adapters.stores import Store
    from sessions_unified.snapshot import SessionSnapshot


MASKED: Final = "maskedCardData"
"""Under a store's name in ``legacy`` in the metadata: the fields whose card data was masked."""

LAST_VAULT_UPDATE: Final = "lastVaultUpdate"
"""What the cookie's formats call the time, in epoch ms, at which the vault id was last changed."""


@dataclass(frozen=True, kw_only=True)
class LegacyRecord:
    """One record as the legacy store holds it.

    Attributes:
        id: its key, as found; None where even that is missing.
        data: its fields under the store's own names.
        digest: SHA-256 of what it says (hex): it changes exactly when the record does.
        problem: why not even its fields could be read; ``data`` is empty then.

    """

    id: str | None
    data: Mapping[str, Any]
    digest: str
    problem: str | None = None

    @classmethod
    def of(cls, record_id: str | None, data: Mapping[str, Any]) -> Self:
        """Return a record of these fields; one that is null says as much as one that is missing.

        Raises:
            RecursionError: the fields are nested too deeply.

        """
        said = {name: value for name, value in data.items() if value is not None}
        return cls(id=record_id, data=data, digest=digest_of(said))


_canonical = msgspec.json.Encoder(decimal_format="number", order="sorted", enc_hook=repr)


def digest_of(value: Any) -> str:
    """Return the SHA-256 (hex) of JSON, whatever the order of its keys."""
    try:
        text = _canonical.encode(value)
    except (TypeError, ValueError):  # a lone surrogate, a name that is no text: five times as slow
        text = json.dumps(value, sort_keys=True, default=repr).encode(errors="surrogatepass")
    return hashlib.sha256(text).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some records of a scan, and the cursor after them: ``scan(after=cursor)`` goes on there."""

    records: tuple[LegacyRecord, ...]
    cursor: str | None


@dataclass(frozen=True, kw_only=True)
class AdapterHealth:
    """Whether the store can be read; ``problem`` says why not and what to do."""

    source: str
    problem: str | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem is None


class LegacyAdapter(ABC):
    """One legacy store. The contract, the same for every adapter: ``tests/contracts``.

    - ``to_unified`` is a pure function of the record; what it cannot map it keeps in the
      session's metadata under ``legacy`` and the store's name; it raises `UnreadableRecordError`
      and nothing else.
    - ``from_unified`` goes the other way, and brings back what was kept: a record that became a
      session and was not changed there comes back saying what it said.
    - ``peek`` and ``scan`` write nothing. ``load`` reads as the old shop did: past its end a record
      is none, and the store is left as the old code would leave it.
    - ``scan`` yields every record that stood before it began exactly once, in batches by a keyset
      cursor, so that a scan that dies goes on where its last batch ended.
    - ``save``, ``delete`` and ``from_unified`` are what dual writes and repair are made of;
      ``holding`` makes a store's writes one with what it was asked before them, where it can.

    Attributes:
        store: which kind of store it is: its place in the order of trust.
        fields: the session's fields that the format has a place for: what can be compared.
        source: its key in ``LEGACY_ADAPTERS``.
        request: the request whose browser is read and written; None for stores of the server.
        alias: the ``DATABASES`` alias whose transactions its writes belong to; None: none of ours.
        supports_scan: the server can list the store (``scan``, ``count``, ``boundaries`` work).
        supports_write: the store can be written.
        supports_peek_many: several records cost one question (``peek_many`` works).
        needs_request: the store lives in a browser: it is read from one request, and written with
            its response.

    """

    store: ClassVar[Store]
    fields: ClassVar[frozenset[str]]
    alias: str | None = None
    supports_scan: bool = False
    supports_write: bool = False
    supports_peek_many: bool = False
    needs_request: bool = False

    def __init__(self, *, source: str, request: HttpRequest | None = None) -> None:
        self.source = source
        self.request = request

    @abstractmethod
    def peek(self, session_id: str) -> LegacyRecord | None:
        """Return one record, past its end or not; None if the store has none. Writes nothing.

        Raises:
            SourceUnavailableError: the store did not answer.

        """

    def peek_many(self, session_ids: Collection[str]) -> dict[str, LegacyRecord]:
        """Return the records of several sessions as ``peek`` does, by id: those that there are.

        Raises:
            SourceUnavailableError: the store did not answer.

        """
        raise self._cannot("be asked for several records at once")

    def load(self, session_id: str) -> LegacyRecord | None:
        """Return one record as the old shop's code would: none past its end (see `_expire`).

        Raises:
            SourceUnavailableError: the store did not answer.

        """
        record = self.peek(session_id)
        if record is None or not self.is_expired(record):
            return record
        self._expire(record)
        return None

    @abstractmethod
    def is_expired(self, record: LegacyRecord) -> bool:
        """Tell whether the record is past its own end, as the old code judged it."""

    def _expire(self, record: LegacyRecord) -> None:
        """Leave the store as the old code did when it met a record past its end."""
        raise self._cannot("expire its records")

    def save(self, record: LegacyRecord) -> None:
        """Write a record: insert it, or change the fields that it names; others stay.

        Raises:
            SourceUnavailableError: the store did not answer; nothing was written.
            UnwritableRecordError: the store refuses the record.

        """
        raise self._cannot("be written")

    @contextmanager
    def holding(self, session_id: str) -> Iterator[None]:
        """Keep others from changing a record within the block, where the store can; commit after.

        What is written within the block is undone if the block raises, where the store can. Where
        it cannot, this does nothing.

        Raises:
            SourceUnavailableError: the store did not answer; nothing was written.

        """
        del session_id
        yield

    def delete(self, session_id: str) -> bool:
        """Remove a record; tell whether there was one.

        Raises:
            SourceUnavailableError: the store did not answer.

        """
        raise self._cannot("be written")

    @abstractmethod
    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        """Return the session that the record describes, at version 1.

        Raises:
            UnreadableRecordError: it describes none; the reason names the field.

        """

    @abstractmethod
    def from_unified(
        self, session: SessionSnapshot, *, before: LegacyRecord | None = None
    ) -> LegacyRecord:
        """Return the record that says what ``session`` says, in the store's own format.

        ``before`` is the record that the store holds now: where its fields say the same already
        they stay as they are written there. Without it, what the session kept of its record is
        what comes back.

        Raises:
            UnwritableRecordError: the format has no way to say it.

        """

    @abstractmethod
    def health(self) -> AdapterHealth:
        """Say whether the store can be read as it is now. Never raises."""

    def present(self) -> tuple[LegacyRecord, ...]:
        """Return every readable record that the request brought; for ``needs_request``."""
        raise self._cannot("be read from a request")

    def scan(
        self,
        after: str | None = None,
        *,
        until: str | None = None,
        since: datetime | None = None,
        batch_size: int = 500,
    ) -> Iterator[Batch]:
        """Yield the records whose key comes after ``after``, in the order of their keys.

        ``until`` is the last key to be read; ``since`` leaves out what was not changed then or
        later, by the store's own word.

        Raises:
            SourceUnavailableError: the store did not answer.

        """
        raise self._cannot("list its records")

    def count(self, *, since: datetime | None = None) -> int:
        """Return how many records there are, about; with ``since``, changed then or later.

        Raises:
            SourceUnavailableError: the store did not answer.

        """
        raise self._cannot("count its records")

    def boundaries(self, parts: int) -> tuple[str, ...]:
        """Return up to ``parts - 1`` keys, in order, that cut the store into even parts.

        Raises:
            SourceUnavailableError: the store did not answer.

        """
        raise self._cannot("list its records")

    def _cannot(self, what: str) -> UnsupportedOperationError:
        return UnsupportedOperationError(f"The legacy store {self.source!r} cannot {what}.")
