"""L2: copies in Redis, through django-redis' connection, every write one Lua script."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import redis
from django_redis import get_redis_connection

from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.tiers import codec, scripts
from sessions_unified.tiers.base import Copy, Read, Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sessions_unified.clock import Clock
    from sessions_unified.tiers.breaker import CircuitBreaker

Answer = TypeVar("Answer")


class RedisTier(Tier):
    """Best-effort copies for every process. Any failure is a `TierUnavailableError`."""

    name: ClassVar[str] = "redis"
    supports_fill: ClassVar[bool] = True

    def __init__(
        self,
        *,
        clock: Clock,
        alias: str,
        prefix: str,
        staleness_bound_seconds: float,
        lease_seconds: float,
        breaker: CircuitBreaker,
    ) -> None:
        self._clock = clock
        self._alias = alias
        self._prefix = prefix
        self._bound = timedelta(seconds=staleness_bound_seconds)
        self._lease_ms = int(lease_seconds * 1000)
        self.breaker = breaker
        self.channel = f"{prefix}:invalidate"

    def connection(self) -> redis.Redis:
        """Return the raw client of the cache's pool."""
        client: redis.Redis = get_redis_connection(self._alias)
        return client

    def key(self, session_id: str) -> str:
        """Return the key of a session; its hash tag keeps all keys of one session together."""
        return f"{self._prefix}:{{{session_id}}}"

    def call(self, operation: Callable[[redis.Redis], Answer]) -> Answer:
        """Run ``operation`` under the breaker.

        Raises:
            TierUnavailableError: Redis failed, or the breaker is open.

        """
        if not self.breaker.allows():
            message = "Redis is being left alone after repeated failures."
            raise TierUnavailableError(message)
        try:
            answer = operation(self.connection())
        except (redis.RedisError, OSError) as exc:
            self.breaker.failed()
            message = f"Redis did not answer: {type(exc).__name__}"
            raise TierUnavailableError(message) from exc
        self.breaker.succeeded()
        return answer

    def read(self, session_id: str) -> Read:
        """Return the copy, or a miss with its lease: one GET for a hit, one script more else."""
        key = self.key(session_id)
        copy = self.peek(session_id)
        if copy is not None:
            return Read(copy)
        oldest = codec.to_micros(self._clock.now() - self._bound)
        token = secrets.token_hex(16)
        value = self.run_script(
            scripts.READ_OR_LEASE, key, token, self._lease_ms, oldest, codec.FORMAT
        )
        if value[:1] == codec.LEASE:
            return Read(None, value[1:].decode())
        return Read(self._fresh(codec.decode(value)))

    def peek(self, session_id: str) -> Copy | None:
        """Return what Redis holds, leaving no lease."""
        key = self.key(session_id)
        value: Any = self.call(lambda client: client.get(key))
        return self._fresh(codec.decode(value))

    def peek_many(self, session_ids: Iterable[str]) -> dict[str, Copy]:
        """Return the copies Redis holds of several sessions, in one MGET."""
        ids = list(session_ids)
        if not ids:
            return {}
        keys = [self.key(session_id) for session_id in ids]
        values: Any = self.call(lambda client: client.mget(keys))
        copies = (self._fresh(codec.decode(value)) for value in values)
        return {key: copy for key, copy in zip(ids, copies, strict=True) if copy is not None}

    def fill(self, copy: Copy, lease: str) -> bool:
        """Keep ``copy`` while its lease stands, until the bound on its age."""
        ttl, value = self._ttl_ms(copy), codec.encode(copy)
        if ttl <= 0 or value is None:
            return False
        return bool(self.run_script(scripts.FILL, self.key(copy.session.id), lease, value, ttl))

    def put(self, copy: Copy) -> None:
        """Replace a lease or an older copy, and drop older L1 copies everywhere."""
        session, value = copy.session, codec.encode(copy)
        if value is None:
            self.delete(session.id, session.version)
            return
        self.run_script(
            scripts.PUT,
            self.key(session.id),
            value,
            session.version,
            self._ttl_ms(copy),
            self.channel,
            f"{session.id} {session.version}",
        )

    def delete(self, session_id: str, version: int) -> None:
        """Remove copy and lease, and drop L1 copies everywhere."""
        message = f"{session_id} {version}"
        self.run_script(scripts.DELETE, self.key(session_id), self.channel, message)

    def delete_many(self, versions: Mapping[str, int]) -> None:
        """As `delete`, for many sessions (id → version) in one round trip."""

        def send(client: redis.Redis) -> None:
            pipeline = client.pipeline(transaction=False)
            for session_id, version in versions.items():
                pipeline.delete(self.key(session_id))
                pipeline.publish(self.channel, f"{session_id} {version}")
            pipeline.execute()

        self.call(send)

    def run_script(self, script: str, key: str, *args: Any) -> Any:
        """Run a Lua script on one key.

        Raises:
            TierUnavailableError: as `call`.

        """
        # register_script only hashes the text; calling it handles NOSCRIPT by loading it again.
        return self.call(lambda client: client.register_script(script)(keys=[key], args=args))

    def _fresh(self, copy: Copy | None) -> Copy | None:
        if copy is None or self._clock.now() - copy.true_at >= self._bound:
            return None
        return copy

    def _ttl_ms(self, copy: Copy) -> int:
        left = self._bound - (self._clock.now() - copy.true_at)
        return int(left / timedelta(milliseconds=1))
