"""Tokens of the old shop for tests: good ones, real ones of jose, and ones that lie."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from legacy_adapters.cookie.tokens import Secrets, check_times, read_token

SAMPLES = Path(__file__).resolve().parent / "samples"

NOW = datetime(2026, 11, 20, tzinfo=UTC)
"""The samples' time zero."""
NOW_MS = 1_795_132_800_000
MINUTE_MS = 60_000

SECRET = "shop-production-secret-0123456789abcdef"
OLDER_SECRET = "older-production-secret-0123456789abcd"
COMPROMISED = "your-secret-key-change-in-production"
SECRETS = Secrets(trusted=(SECRET, OLDER_SECRET), compromised=(COMPROMISED,))


def data(**fields: Any) -> dict[str, Any]:
    """Return session data as the old shop wrote it ten minutes ago; None leaves a field out."""
    found = {
        "id": "ws_mwo5wwds_2",
        "vaultId": "618896069",
        "customerId": "cus_3",
        "email": "ana@example.org",
        "firstName": "Ana",
        "lastName": "Gómez",
        "transactionId": "3094896636",
        "createdAt": NOW_MS - 10 * MINUTE_MS,
        "expiresAt": NOW_MS + 20 * MINUTE_MS,
    } | fields
    return {name: value for name, value in found.items() if value is not None}


def shifted(at: datetime, **fields: Any) -> dict[str, Any]:
    """Return `data` as written at another time zero."""
    later = (at - NOW) // timedelta(milliseconds=1)
    given = data()
    return data(
        createdAt=given["createdAt"] + later, expiresAt=given["expiresAt"] + later, **fields
    )


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(
    claims: Any = None,
    *,
    secret: str = SECRET,
    header: Any = None,
    hash_name: str = "sha256",
) -> str:
    """Return a token signed with ``secret``, whatever it says; bytes go in as they are."""
    head = {"alg": "HS256"} if header is None else header
    body = data() if claims is None else claims
    parts = [part if isinstance(part, bytes) else _json(part) for part in (head, body)]
    signed = ".".join(encoded(part) for part in parts)
    return f"{signed}.{encoded(hmac.digest(secret.encode(), signed.encode(), hash_name))}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def open_token(text: str, secrets: Secrets, *, now: datetime) -> dict[str, Any]:
    """Return the claims of a token that is valid now."""
    claims = read_token(text, secrets)
    check_times(claims, now=now)
    return claims


def claims_of(text: str) -> dict[str, Any]:
    """Return what a token says, unchecked."""
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
    return found


def fingerprint_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


@cache
def samples() -> list[dict[str, Any]]:
    """Return the sample cookies: kind, id, token and claims."""
    lines = (SAMPLES / "legacy/cookies.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@cache
def jose() -> dict[str, Any]:
    """Return what the npm library jose made: ``tests/samples/jose/make_tokens.mjs``."""
    found: dict[str, Any] = json.loads((SAMPLES / "jose/tokens.json").read_text(encoding="utf-8"))
    return found
