"""The role of an adapter: one kind of legacy store, in its own format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from legacy_adapters.exceptions import LegacyAdaptersError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sessions_unified.snapshot import SessionSnapshot


MASKED: Final = "maskedCardData"
"""Under ``legacy`` in a session's metadata: the fields in which card data was masked."""


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
      session's metadata under ``legacy``; it raises `UnreadableRecordError` and nothing else.
    - ``scan`` yields every record that stood before it began exactly once, in batches by a keyset
      cursor, so that a scan that dies goes on where its last batch ended.
    - Nothing here writes to the legacy store.

    Attributes:
        source: its key in ``LEGACY_ADAPTERS``.
        supports_scan: the server can list the store (``scan`` and ``count`` work).
        supports_write: the store can be written.
        needs_request: the store lives in a browser: it is read from one request's cookies.

    """

    supports_scan: ClassVar[bool] = False
    supports_write: ClassVar[bool] = False
    needs_request: ClassVar[bool] = False

    def __init__(self, *, source: str) -> None:
        self.source = source

    @abstractmethod
    def load(self, session_id: str) -> LegacyRecord | None:
        """Return one record; None if the store has none.

        Raises:
            SourceUnavailableError: the store did not answer.

        """

    @abstractmethod
    def to_unified(self, record: LegacyRecord) -> SessionSnapshot:
        """Return the session that the record describes, at version 1.

        Raises:
            UnreadableRecordError: it describes none; the reason names the field.

        """

    @abstractmethod
    def health(self) -> AdapterHealth:
        """Say whether the store can be read as it is now. Never raises."""

    def scan(self, after: str | None = None, *, batch_size: int = 500) -> Iterator[Batch]:
        """Yield the records whose key comes after ``after``, in the order of their keys.

        Raises:
            SourceUnavailableError: the store did not answer.

        """
        raise self._cannot("list its records")

    def count(self) -> int:
        """Return how many records there are, about.

        Raises:
            SourceUnavailableError: the store did not answer.

        """
        raise self._cannot("count its records")

    def _cannot(self, what: str) -> LegacyAdaptersError:
        return LegacyAdaptersError(f"The legacy store {self.source!r} cannot {what}.")
