"""What browsers of the old shop bring: its signed cookie, and its entries in localStorage."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

COOKIE: Final = "upsell_session"
_LIFETIME_SECONDS: Final = 30 * 60


@dataclass(frozen=True, kw_only=True)
class OldSession:
    """A living session of the old shop, as its own table has it.

    Attributes:
        transaction_id: of the order's payment; None: it is not paid.
        products: in the wire format.

    """

    id: str
    email: str
    created_at: datetime
    expires_at: datetime
    status: str
    current_step: str
    customer: Mapping[str, Any] = field(default_factory=dict)
    products: Sequence[Mapping[str, Any]] = ()
    vault_id: str | None = None
    transaction_id: str | None = None
    accepted: Sequence[str] = ()
    declined: Sequence[str] = ()

    def cookie(self, secret: str, *, now: float | None = None) -> str:
        """Return the cookie that the old shop gave its browser: a JWT, HS256, for 30 minutes."""
        at = time.time() if now is None else now
        ends = min(at + _LIFETIME_SECONDS, self.expires_at.timestamp())
        claims = {
            "id": self.id,
            "email": self.email,
            "firstName": self.customer.get("firstName"),
            "lastName": self.customer.get("lastName"),
            "vaultId": self.vault_id,
            "transactionId": self.transaction_id,
            "createdAt": int(self.created_at.timestamp() * 1000),
            "expiresAt": int(ends * 1000),
            "iat": int(at),
            "exp": int(ends),
        }
        return signed({name: value for name, value in claims.items() if value is not None}, secret)

    def entry(self) -> dict[str, Any]:
        """Return what the old pages kept of it in localStorage."""
        return {
            "id": self.id,
            "email": self.email,
            "customerInfo": dict(self.customer),
            "products": [dict(each) for each in self.products],
            "status": "initiated" if self.status == "pending" else self.status,
            "currentStep": self.current_step,
            "upsellsAccepted": list(self.accepted),
            "upsellsDeclined": list(self.declined),
            "createdAt": _iso(self.created_at),
            "updatedAt": _iso(self.created_at),
            "expiresAt": _iso(self.expires_at),
        }


class OldSessions:
    """The old shop's living sessions; each goes on once."""

    def __init__(self, sessions: Iterable[OldSession] = (), *, secret: str = "") -> None:
        self.secret = secret
        self._lock = threading.Lock()
        self._left = deque(sessions if secret else ())

    def take(self) -> OldSession | None:
        """Return one whose shopper comes back now; None: there are no more."""
        with self._lock:
            return self._left.popleft() if self._left else None


def forgotten_entry(number: int, now: datetime) -> dict[str, Any]:
    """Return what a browser still has of a session that no server knows any more."""
    milliseconds = int(now.timestamp() * 1000) - 3_600_000
    session_id = f"ws_{_base36(milliseconds)}_sim{_base36(number)}"
    created = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    old = OldSession(
        id=session_id,
        email=f"old{number}@example.org",
        created_at=created,
        expires_at=datetime.fromtimestamp(now.timestamp() + 3600, tz=UTC),
        status="pending",
        current_step="checkout",
        products=({"id": "SOIL", "name": "Living Soil 5L", "price": 12.5, "quantity": 1},),
    )
    return old.entry()


def signed(claims: Mapping[str, Any], secret: str) -> str:
    """Return a JWT of these claims (RFC 7519), signed by HS256."""
    header = {"alg": "HS256", "typ": "JWT"}
    parts = [
        _encoded(json.dumps(each, separators=(",", ":")).encode()) for each in (header, claims)
    ]
    text = ".".join(parts)
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _iso(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
    return text or "0"
