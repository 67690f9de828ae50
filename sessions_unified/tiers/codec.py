"""How a copy is written into Redis: a header that scripts can compare, then msgpack.

``C`` + version (16 digits) + true_at in µs since 1970 (16 digits) + format (1 digit) + body.
A lease is ``L`` + its token. Digits, because Lua compares numbers and people read redis-cli.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from sessions_unified.snapshot import SessionSnapshot, decode_hook
from sessions_unified.tiers.base import Copy

COPY: Final = b"C"
LEASE: Final = b"L"
FORMAT: Final = b"1"
_HEADER: Final = 34
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SessionSnapshot, dec_hook=decode_hook)


def to_micros(moment: datetime) -> int:
    """Return µs since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def encode(copy: Copy) -> bytes | None:
    """Return the bytes of ``copy``; None for what the format cannot hold.

    That is an integer beyond 64 bits in somebody's metadata: such a session is not kept in Redis.
    """
    header = f"{copy.session.version:016d}{to_micros(copy.true_at):016d}".encode()
    try:
        return COPY + header + FORMAT + _encoder.encode(copy.session)
    except OverflowError:
        return None


def decode(value: bytes | None) -> Copy | None:
    """Return the copy in ``value``; None for a lease, nothing, or a format we do not know."""
    if value is None or value[:1] != COPY or value[33:34] != FORMAT:
        return None
    true_at = _EPOCH + timedelta(microseconds=int(value[17:33]))
    try:
        return Copy(_decoder.decode(value[_HEADER:]), true_at)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
