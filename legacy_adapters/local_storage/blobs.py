"""The text that a browser sends, taken apart with care: bounded, and nothing of it lost.

What cannot be read is told to the browser and kept for inspection (`keeping`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.exceptions import TooManyEntriesError, UnreadableRecordError
from legacy_adapters.local_storage.decoding import (
    DOUBLED,
    MAX_DEPTH,
    TOO_DEEP,
    decoded,
    has_doubled,
    is_deeper,
)
from sessions_unified.ids import is_session_id

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES: Final = 256 * 1024
MAX_ENTRIES: Final = 200


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Something that could not be read.

    Attributes:
        reason: says why, without personal data.
        content: what was sent: the whole text, or an entry's JSON.
        key: the entry's; None: it is the whole.

    """

    reason: str
    content: Any
    key: str | None = None

    @property
    def id(self) -> str | None:
        """The entry's key where it has the shape of a session's id, and may be said again."""
        return self.key if self.key is not None and is_session_id(self.key) else None


@dataclass(frozen=True, kw_only=True)
class Blob:
    """What one browser holds.

    Attributes:
        entries: id → entry, those that are JSON objects under a session's id.
        broken: the rest.

    """

    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    broken: tuple[Broken, ...] = ()


def parse(raw: bytes) -> Blob:
    """Return what a browser sent; nothing, or ``null``, is what an empty localStorage says.

    Raises:
        TooManyEntriesError: there are more than `MAX_ENTRIES`.

    """
    try:
        value = decoded(raw)
    except UnreadableRecordError as exc:
        text = raw.decode(errors="backslashreplace")
        return Blob(broken=(Broken(reason=exc.reason, content=text),))
    if len(value) > MAX_ENTRIES:
        raise TooManyEntriesError(f"More than {MAX_ENTRIES} sessions are more than is read.")
    return _taken_apart(value)


def _taken_apart(value: Mapping[str, Any]) -> Blob:
    problems = {key: _problem(key, entry) for key, entry in value.items()}
    return Blob(
        entries={key: value[key] for key, problem in problems.items() if problem is None},
        broken=tuple(
            Broken(key=key, content=value[key], reason=reason)
            for key, reason in problems.items()
            if reason is not None
        ),
    )


def _problem(key: str, entry: Any) -> str | None:
    if not is_session_id(key):
        return "Its key is no session's id."
    if not isinstance(entry, dict):
        return "It is not a JSON object."
    if is_deeper(entry, MAX_DEPTH - 1):
        return TOO_DEEP
    if has_doubled(entry):
        return DOUBLED
    if entry.get("id") is not None and entry["id"] != key:
        return "Its id is not the key that it is under."
    return None
