"""How often one address, and one session, may ask: counted in Redis, atomically.

It fails open: without Redis everybody may ask, and a metric says so.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.metrics import THROTTLED
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.tiers import get_tiers
from sessions_unified.tiers.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WINDOW_SECONDS: Final = 60
_CUSTOMER_BITS: Final = 64  # of IPv6: what one customer is given (RFC 6177)

# One more in this window; it begins with the first. ARGV: window ms, limit.
# Returns 0, or for how many ms there will be no more.
COUNT: Final = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
if count <= tonumber(ARGV[2]) then return 0 end
return redis.call('PTTL', KEYS[1])
"""


def wait_seconds(subjects: Iterable[str], *, limit: int) -> int:
    """Count one request for each subject; return for how long one of them must wait, 0: not.

    ``subjects`` name who asks (``address …``, ``session …``); only their hashes are kept.
    """
    redis = get_tiers().redis
    if redis is None:
        THROTTLED.labels("open").inc()
        return 0
    redis = redis.within(Budget(get_conf().REDIS_BUDGET_MS / 1000))
    try:
        waits = [
            int(redis.run_script(COUNT, _key(each), WINDOW_SECONDS * 1000, limit))
            for each in subjects
        ]
    except TierUnavailableError:
        THROTTLED.labels("open").inc()
        return 0
    longest = max(waits, default=0)
    THROTTLED.labels("refused" if longest else "allowed").inc()
    return -(-longest // 1000)


def _key(subject: str) -> str:
    digest = hashlib.sha256(subject.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"{get_conf().KEY_PREFIX}:throttle:{digest}"


def client_address(meta: Mapping[str, Any], *, trusted_proxies: int) -> str | None:
    """Return the client's address, of IPv6 its first 64 bits; None if it is not known.

    Of ``X-Forwarded-For`` only what the outermost of our own proxies wrote is read, counted from
    the right: what is left of it, clients write themselves.
    """
    entries = str(meta.get("HTTP_X_FORWARDED_FOR", "")).split(",")
    is_forwarded = 1 <= trusted_proxies <= len(entries)
    forwarded = _parsed(entries[-trusted_proxies]) if is_forwarded else None
    return forwarded or _parsed(str(meta.get("REMOTE_ADDR") or ""))


def _parsed(text: str) -> str | None:
    try:
        address = ip_address(_bare(text.strip()))
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), _CUSTOMER_BITS), strict=False))


def _bare(text: str) -> str:
    """Return an address without port, brackets and zone, as proxies may write them."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return text.partition("%")[0]
