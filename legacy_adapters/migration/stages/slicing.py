"""Which part of the sessions a session is in: one hash with one salt, for all endpoints."""

from __future__ import annotations

import hashlib
from typing import Final

BUCKETS: Final = 10_000
"""A hundredth of a percent each."""

_SALT: Final = b"sessions-unified:stages:1:"


def bucket_of(session_id: str) -> int:
    """Return the session's bucket, 0 to `BUCKETS` - 1; the same for ever, in every process.

    A session is within ``percent`` if its bucket is below ``percent / 100 * BUCKETS``, so that a
    growing percentage only ever adds sessions.
    """
    digest = hashlib.blake2b(_SALT + session_id.encode(errors="surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") % BUCKETS
