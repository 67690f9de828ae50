"""A session's events as a story: when, what, who, from where to where."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from sessions_unified.admin.formatting import when, words
from sessions_unified.conf import get_conf
from sessions_unified.models import SessionEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from django.utils.safestring import SafeString

_LONGEST: Final = 300
_STAFF: Final = "staff:"
_PAIR: Final = 2


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One event.

    Attributes:
        moves: (name, from, to) of status and step.
        notes: other facts, (name, text).
        changed: names of the fields that changed.

    """

    seq: int
    when: SafeString | str
    what: str
    who: str
    moves: tuple[tuple[str, str, str], ...]
    notes: tuple[tuple[str, str], ...]
    changed: tuple[str, ...]


def timeline(session_id: str, now: datetime) -> list[Entry]:
    """Return the session's latest events, oldest first."""
    events = SessionEvent.objects.using(get_conf().DATABASE_ALIAS).filter(session_id=session_id)
    latest = list(events.order_by("-seq")[:_LONGEST])
    return entries(latest[::-1], now)


def entries(events: Sequence[SessionEvent], now: datetime) -> list[Entry]:
    """Return events as entries; staff by name, in one query."""
    names = _staff_names(event.actor for event in events)
    return [_entry(event, names.get(event.actor, event.actor), now) for event in events]


def moves(data: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what moved, by name: (from, to)."""
    pairs = {name: value for name, value in data.items() if _is_pair(value)}
    return {name: (str(old), str(new)) for name, (old, new) in pairs.items() if old != new}


def _entry(event: SessionEvent, who: str, now: datetime) -> Entry:
    data: dict[str, Any] = event.data
    moved = moves(data)
    said = {"current_step" if name == "step" else name for name in moved}
    return Entry(
        seq=event.seq,
        when=when(event.at, now),
        what=words(event.kind.removeprefix("session_")).capitalize(),
        who=who,
        moves=tuple((name, old, new) for name, (old, new) in moved.items()),
        notes=tuple(_notes(data)),
        changed=tuple(words(name) for name in event.changed if name not in said),
    )


def _notes(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if value is None or _is_pair(value) or (name == "currency" and data.get("amount")):
            continue
        unit = f" {data['currency']}" if name == "amount" and data.get("currency") else ""
        yield words(name), f"{value}{unit}"


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == _PAIR


def _staff_names(actors: Iterable[str]) -> dict[str, str]:
    """Return actor → the user's name, for ``staff:<pk>``."""
    keys = {actor: actor.removeprefix(_STAFF) for actor in actors if actor.startswith(_STAFF)}
    if not keys:
        return {}
    found = get_user_model()._default_manager.filter(pk__in=_valid(keys.values()))  # noqa: SLF001
    names = {str(user.pk): user.get_username() for user in found}
    return {actor: f"{names[key]} (staff)" for actor, key in keys.items() if key in names}


def _valid(keys: Iterable[str]) -> list[Any]:
    """Return the keys that the user model can have; an actor may be of an earlier one."""
    to_python = get_user_model()._meta.pk.to_python  # noqa: SLF001
    valid = []
    for key in keys:
        with suppress(ValidationError):
            valid.append(to_python(key))
    return valid
