"""How a copy is written into Redis: a header that scripts can compare, then msgpack.

``C`` + version (16 digits) + true_at in µs since 1970 (16 digits) + format (1 digit) + body.
A lease is ``L`` + its token. Digits, because Lua compares numbers and people read redis-cli.

Format 2, which is written: an array of the snapshot's fields in their order. Format 1, still read:
a map of the fields that are not the default. A field more is a format more: in a rolling deploy
old and new processes share one Redis, and what one of them cannot read is a miss.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import msgspec

from sessions_unified.exceptions import SealedValueError
from sessions_unified.sealing import COLUMNS, seal, unseal
from sessions_unified.snapshot import SessionSnapshot, decode_hook
from sessions_unified.tiers.base import Copy

if TYPE_CHECKING:
    from collections.abc import Callable

COPY: Final = b"C"
LEASE: Final = b"L"
FORMAT: Final = b"2"
READABLE: Final = b"12"
_HEADER: Final = 34
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_FIELDS: Final = SessionSnapshot.__struct_fields__
_hints = get_type_hints(SessionSnapshot)
_Row: Any = tuple[tuple(_hints[name] for name in _FIELDS)]  # type: ignore[misc]  # made from data

_encoder = msgspec.msgpack.Encoder()
_rows = msgspec.msgpack.Decoder(_Row, dec_hook=decode_hook)
_maps = msgspec.msgpack.Decoder(SessionSnapshot, dec_hook=decode_hook)


def to_micros(moment: datetime) -> int:
    """Return µs since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def encode(copy: Copy) -> bytes | None:
    """Return the bytes of ``copy``; None for what the format cannot hold.

    That is an integer beyond 64 bits in somebody's metadata: such a session is not kept in Redis.
    """
    session = copy.session
    header = f"{session.version:016d}{to_micros(copy.true_at):016d}".encode()
    session = _with(session, seal)
    try:
        return COPY + header + FORMAT + _encoder.encode(msgspec.structs.astuple(session))
    except OverflowError:
        return None


def _with(session: SessionSnapshot, change: Callable[[str], str]) -> SessionSnapshot:
    """Return the session with what opens a card sealed, or opened."""
    found = {name: getattr(session, name) for name in COLUMNS}
    changed = {name: change(text) for name, text in found.items() if text is not None}
    return msgspec.structs.replace(session, **changed) if changed else session


def is_of_another_release(value: object) -> bool:
    """Return whether ``value`` is a copy, by its header, in a format that is not ours."""
    if not isinstance(value, bytes) or value[:1] != COPY or len(value) < _HEADER:
        return False
    return value[1:_HEADER].isdigit() and value[33:_HEADER] not in READABLE


def decode(value: bytes | None) -> Copy | None:
    """Return the copy in ``value``; None for a lease, nothing, or a format we do not know."""
    if value is None or value[:1] != COPY:
        return None
    body = value[_HEADER:]
    try:
        if value[33:_HEADER] == FORMAT:
            row = _rows.decode(body)
            session = SessionSnapshot(**dict(zip(_FIELDS, row, strict=True)))
        elif value[33:_HEADER] in READABLE:
            session = _maps.decode(body)
        else:
            return None
        session = _with(session, unseal)
        return Copy(session, _EPOCH + timedelta(microseconds=int(value[17:33])))
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, SealedValueError):
        return None
