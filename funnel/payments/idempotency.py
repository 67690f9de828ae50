"""Idempotency-Keys: the same key answers the same; another body under it is refused.

A record binds a key to one operation of one session. It is written in the operation's first
transaction, under the session's lock, so that two requests with one key meet in the database.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from funnel.exceptions import IdempotencyKeyError, IdempotencyKeyReusedError
from funnel.payments.models import ChargeAttempt, IdempotencyRecord
from sessions_unified.card_data import find_card_data
from sessions_unified.clock import get_clock

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_CARD: Final = (
    "The Idempotency-Key looks like a card number, and keys are stored. Send a random one instead."
)
_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an operation answers: a status, a JSON body, and when to ask again.

    Attributes:
        status: HTTP status.
        body: JSON bytes, exactly as sent and as stored.
        retry_after: seconds, for 409 and 202.

    """

    status: int
    body: bytes
    retry_after: int | None = field(default=None)

    @property
    def data(self) -> dict[str, Any]:
        """Return the decoded body."""
        decoded: dict[str, Any] = msgspec.json.decode(self.body)
        return decoded


def check_key(key: str | None) -> str:
    """Return a usable key.

    Raises:
        IdempotencyKeyError: it is missing, too long, not visible ASCII, or a card number's like.

    """
    if key is None or not _KEY.fullmatch(key):
        raise IdempotencyKeyError
    if find_card_data(key) is not None:
        raise IdempotencyKeyError(_CARD)
    return key


def request_hash(operation: str, body: Mapping[str, Any]) -> str:
    """Return the hash that tells one request from another under the same key."""
    return hashlib.sha256(operation.encode() + b"\0" + _encoder.encode(body)).hexdigest()


def find(session_id: str, key: str, digest: str) -> IdempotencyRecord | None:
    """Return the record of a key; under the session's lock.

    Raises:
        IdempotencyKeyReusedError: the key came first with another body.

    """
    record = (
        IdempotencyRecord.objects.select_related("attempt")
        .filter(session_id=session_id, key=key)
        .first()
    )
    if record is not None and record.request_hash != digest:
        raise IdempotencyKeyReusedError
    return record


def remember(
    session_id: str,
    key: str,
    digest: str,
    *,
    attempt: ChargeAttempt | None = None,
    reply: Reply | None = None,
) -> None:
    """Write the record of a key, in the operation's own transaction."""
    IdempotencyRecord.objects.create(
        session_id=session_id,
        key=key,
        request_hash=digest,
        attempt=attempt,
        status=None if reply is None else reply.status,
        answer=None if reply is None else reply.body.decode(),
        created_at=get_clock().now(),
    )


def answer(attempt: ChargeAttempt, reply: Reply | None) -> None:
    """Store the definite answer of every key bound to an attempt. A 202 is never stored.

    A late success replaces an answer that nothing was charged; None takes it back.
    """
    IdempotencyRecord.objects.filter(attempt=attempt).update(
        status=None if reply is None else reply.status,
        answer=None if reply is None else reply.body.decode(),
    )


def stored_answer(attempt: ChargeAttempt) -> Reply | None:
    """Return the definite answer of the keys bound to an attempt; None: there is none yet."""
    record = IdempotencyRecord.objects.filter(attempt=attempt, answer__isnull=False).first()
    return None if record is None else reply_of(record)


def reply_of(record: IdempotencyRecord) -> Reply | None:
    """Return the definite answer of a record; None: it has none yet."""
    if record.answer is None or record.status is None:
        return None
    return Reply(status=record.status, body=record.answer.encode())
