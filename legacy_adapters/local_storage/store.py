"""Where the store lives: in one browser, which its request brings and its response changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.base import LegacyRecord
from legacy_adapters.fields.values import storable
from sessions_unified.wire import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from legacy_adapters.local_storage.blobs import Blob

_PLACE: Final = "legacy_local_storage"


@dataclass(kw_only=True)
class BrowserStore:
    """The localStorage of one request's browser.

    Attributes:
        blob: what it sent.
        keep: id → entry that it should hold now.
        drop: ids that it should forget, in their order.

    """

    blob: Blob
    keep: dict[str, dict[str, Any]] = field(default_factory=dict)
    drop: dict[str, None] = field(default_factory=dict)

    def get(self, session_id: str) -> LegacyRecord | None:
        """Return the entry as the browser holds it, or will after this response."""
        if session_id in self.drop:
            return None
        entry = self.keep.get(session_id) or self.blob.entries.get(session_id)
        return None if entry is None else LegacyRecord.of(session_id, dict(entry))

    def ids(self) -> tuple[str, ...]:
        """Return the ids of what it holds, or will hold."""
        names = dict.fromkeys((*self.blob.entries, *self.keep))
        return tuple(name for name in names if name not in self.drop)

    def put(self, session_id: str, entry: Mapping[str, Any]) -> None:
        """Have the browser hold these fields of an entry; others of it stay."""
        before = self.get(session_id)
        fields = {**(before.data if before is not None else {}), **entry}
        self.drop.pop(session_id, None)
        said = {name: value for name, value in fields.items() if value is not None}
        # No browser is sent what opens a card, not even what it had itself; nor half a character.
        self.keep[session_id] = without_secrets(storable(said))

    def remove(self, session_id: str) -> bool:
        """Have the browser forget an entry; tell whether it holds one."""
        is_there = self.get(session_id) is not None
        self.keep.pop(session_id, None)
        if session_id in self.blob.entries:
            self.drop[session_id] = None
        return is_there


def attach(request: HttpRequest, blob: Blob) -> BrowserStore:
    """Give the request the store that its browser sent."""
    store = BrowserStore(blob=blob)
    setattr(request, _PLACE, store)
    return store


def attached(request: HttpRequest | None) -> BrowserStore | None:
    """Return the store of the request's browser; None if it sent none."""
    found: BrowserStore | None = getattr(request, _PLACE, None)
    return found
