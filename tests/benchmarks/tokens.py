"""The session cookie, and the reads of a request that answers an upsell offer."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from joserfc import jwe, jwt
from joserfc.jwk import OctKey

from sessions_unified import tokens
from sessions_unified.clock import get_clock
from tests.benchmarks.legacy import FILL, TABLE
from tests.benchmarks.measuring import Side
from tests.benchmarks.rows import row
from tests.benchmarks.traffic import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.manager import UnifiedSessionManager
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.measuring import Measured

_DAY: Final = timedelta(days=1)
_HALF_AN_HOUR: Final = 30 * 60


def token_key() -> OctKey:
    """Return the site's one token key."""
    (text,) = settings.SESSIONS_UNIFIED["TOKEN_KEYS"].values()
    return OctKey.import_key(tokens.decode_key(text))


def session_tokens(ids: list[str]) -> list[str]:
    """Return a token of each session."""
    now = get_clock().now()
    return [tokens.issue(session_id, now=now, expires_at=now + _DAY) for session_id in ids]


@row(
    operation="open the session cookie's token, all checks",
    baseline="joserfc decrypt alone",
    target=1.3,
)
def token_open(bench: Bench) -> Measured:
    issued, key, clock = session_tokens(bench.ids), token_key(), get_clock()

    def opened(token: str) -> object:
        return tokens.open_token(token, clock=clock)

    def decrypt(token: str) -> object:
        return jwe.decrypt_compact(token, key, algorithms=["dir", "A256GCM"])

    return bench.compare(
        Side(start=lambda: opened, keys=issued), Side(start=lambda: decrypt, keys=issued)
    )


@row(
    operation="what one upsell request reads outside its transactions: token, get_session",
    baseline="the legacy order: JWT decode, Map, DB query",
    target=0.5,
)
def upsell_lookups(bench: Bench) -> Measured:
    issued = dict(zip(bench.ids, session_tokens(bench.ids), strict=True))
    clock = get_clock()

    def call(manager: UnifiedSessionManager) -> Callable[[str], object]:
        return lambda key: manager.get_session(tokens.open_token(issued[key], clock=clock))

    ours = bench.ours(
        lambda: bench.all_tiers,
        call,
        keys=bench.ids,
        expected=Expected(),
        prepare=lambda keys: bench.fill(bench.all_tiers, keys),
    )
    return bench.compare(ours, _legacy(bench))


def _legacy(bench: Bench) -> Side:
    bench.database.execute(f"DROP TABLE IF EXISTS {TABLE.name}")
    bench.database.execute(TABLE.create)
    bench.database.execute(FILL, [len(bench.ids)])
    ids = [key for (key,) in bench.database.execute(f"SELECT id FROM {TABLE.name}")]
    secret = OctKey.import_key(secrets.token_bytes(32))
    claims = {key: _claims(key) for key in ids}
    cookies = {key: jwt.encode({"alg": "HS256"}, claims[key], secret) for key in ids}
    by_id: dict[str, Any] = {key: json.loads(json.dumps(claims[key])) for key in ids}
    must_last = jwt.JWTClaimsRegistry()
    select = f"SELECT * FROM {TABLE.name} WHERE id = %s"

    def look_up(key: str) -> object:
        token = jwt.decode(cookies[key], secret, algorithms=["HS256"])
        must_last.validate(token.claims)
        by_id.get(token.claims["id"])
        return bench.database.execute(select, (key,)).fetchone()

    return Side(start=lambda: look_up, keys=ids)


def _claims(key: str) -> dict[str, Any]:
    now = get_clock().now()
    made = int(now.timestamp())
    return {
        "id": key,
        "vaultId": "117041394",
        "customerId": "c-1",
        "email": "maria.jose.soendergaard@example.org",
        "firstName": "María José",
        "lastName": "Søndergård",
        "transactionId": "3029929089",
        "createdAt": made * 1000,
        "expiresAt": (made + _HALF_AN_HOUR) * 1000,
        "iat": made,
        "exp": made + _HALF_AN_HOUR * 48,
    }
