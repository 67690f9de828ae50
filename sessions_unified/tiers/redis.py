"""L2: copies in Redis, at the django-redis cache's address, every write one Lua script."""

from __future__ import annotations

import hashlib
import itertools
import secrets
import time
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import hiredis
import redis
from django_redis import get_redis_connection
from redis.exceptions import NoScriptError, ReadOnlyError

from sessions_unified import metrics
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.tiers import codec, scripts
from sessions_unified.tiers.base import Copy, Read, Tier, is_young
from sessions_unified.tiers.deadline import DEADLINE, pool_like

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sessions_unified.clock import Clock
    from sessions_unified.tiers.breaker import CircuitBreaker
    from sessions_unified.tiers.budget import Budget

Answer = TypeVar("Answer")

# What work without a shopper waiting for it (touches, relay, audit) may take for one call.
_PATIENCE_SECONDS: Final = 1.0
# With less than this left a healthy Redis would look like a broken one.
_LEAST_SECONDS: Final = 0.002

# One read in so many is timed and has its age observed: that costs as much as decoding it.
_SAMPLE: Final = 8
_sampling = itertools.count()

_hits = metrics.READS.labels("redis", "hit")
_ages = metrics.ANSWER_AGE.labels("redis")
_over_budget = metrics.REFUSED.labels("redis", "budget")
_errors = metrics.READS.labels("redis", "error")


@cache
def _timer(operation: str) -> Callable[[float], None]:
    return metrics.OPERATION.labels("redis", operation).observe


@cache
def _sha(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


class RedisTier(Tier):
    """Best-effort copies for every process. Any failure is a `TierUnavailableError`.

    Attributes:
        breaker: shared by all of this process's managers.
        channel: the pub/sub channel of invalidations, ``<id> <version>`` each; ``*``: all.

    """

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
        pool_size: int = 64,
        probe_seconds: float = 0.025,
    ) -> None:
        self._clock = clock
        self._prefix = prefix
        self._bound = timedelta(seconds=staleness_bound_seconds)
        self._lease_ms = int(lease_seconds * 1000)
        self._probe_seconds = probe_seconds
        self._budget: Budget | None = None
        self._pool = pool_like(get_redis_connection(alias).connection_pool, size=pool_size)
        self._client = redis.Redis(connection_pool=self._pool)
        self.breaker = breaker
        self.channel = f"{prefix}:invalidate"

    def within(self, budget: Budget) -> RedisTier:
        """Return the same tier, on whose calls ``budget`` is spent."""
        bounded = object.__new__(type(self))  # copy.copy takes 6 µs, and there is one a request
        bounded.__dict__.update(self.__dict__, _budget=budget)
        return bounded

    def connection(self) -> redis.Redis:
        """Return a raw client, without breaker and budget: a second for each step."""
        return self._client

    def key(self, session_id: str) -> str:
        """Return the key of a session; its hash tag keeps all keys of one session together."""
        return f"{self._prefix}:{{{session_id}}}"

    def call(self, operation: Callable[[redis.Redis], Answer]) -> Answer:
        """Run ``operation`` under the breaker and within the budget.

        Raises:
            TierUnavailableError: Redis failed, the breaker is open or the budget is spent.

        """
        return self._attempt(operation, self._client, "call")

    def command(self, *parts: str | bytes | float) -> Any:
        """Run one command as the server understands it, and return its bare answer.

        Half the time of the client's methods; for what every request does.

        Raises:
            TierUnavailableError: as `call`.

        """
        return self._attempt(self._command, parts, "command")

    def read(self, session_id: str) -> Read:
        """Return the copy, or a miss with its lease: one GET for a hit, one script more else."""
        key = self.key(session_id)
        try:
            value = self._attempt(self._command, ("GET", key), "read")
            now = self._clock.now()
            copy = self._fresh(codec.decode(value), now)
            if copy is None:
                copy, lease = self._read_or_lease(key)
                if copy is None:
                    metrics.READS.labels("redis", "miss").inc()
                    return Read(None, lease)
        except TierUnavailableError:
            _errors.inc()
            raise
        _hits.inc()
        if next(_sampling) % _SAMPLE == 0:
            _ages.observe(max(0.0, (now - copy.true_at).total_seconds()))
        return Read(copy)

    def _read_or_lease(self, key: str) -> tuple[Copy | None, str | None]:
        now = self._clock.now()
        oldest = codec.to_micros(now - self._bound)
        token = secrets.token_hex(16)
        value = self.run_script(
            scripts.READ_OR_LEASE, key, token, self._lease_ms, oldest, codec.READABLE
        )
        if value[:1] == codec.LEASE:
            return None, value[1:].decode()
        return self._fresh(codec.decode(value), now), None

    def peek(self, session_id: str) -> Copy | None:
        """Return what Redis holds, leaving no lease."""
        value = self._attempt(self._command, ("GET", self.key(session_id)), "peek")
        return self._fresh(codec.decode(value), self._clock.now())

    def peek_many(self, session_ids: Iterable[str]) -> dict[str, Copy]:
        """Return the copies Redis holds of several sessions, in one MGET."""
        ids = list(session_ids)
        if not ids:
            return {}
        keys = [self.key(session_id) for session_id in ids]
        values = self._attempt(self._command, ("MGET", *keys), "peek")
        now = self._clock.now()
        copies = (self._fresh(codec.decode(value), now) for value in values)
        return {key: copy for key, copy in zip(ids, copies, strict=True) if copy is not None}

    def fill(self, copy: Copy, lease: str) -> bool:
        """Keep ``copy`` while its lease stands, until the bound on its age."""
        ttl, value = self._ttl_ms(copy), codec.encode(copy)
        if ttl <= 0 or value is None:
            return False
        key = self.key(copy.session.id)
        kept = bool(self.run_script(scripts.FILL, key, lease, value, ttl, operation="fill"))
        metrics.FILLS.labels("redis", "kept" if kept else "refused").inc()
        return kept

    def put(self, copy: Copy) -> None:
        """Replace an older copy, end a lease, and drop older L1 copies everywhere."""
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
            operation="put",
        )

    def delete(self, session_id: str, version: int) -> None:
        """Remove copy and lease, and drop L1 copies everywhere."""
        message = f"{session_id} {version}"
        key = self.key(session_id)
        self.run_script(scripts.DELETE, key, self.channel, message, operation="delete")

    def delete_many(self, versions: Mapping[str, int]) -> None:
        """As `delete`, for many sessions (id → version) in one round trip."""

        def send(client: redis.Redis) -> None:
            pipeline = client.pipeline(transaction=False)
            for session_id, version in versions.items():
                pipeline.delete(self.key(session_id))
                pipeline.publish(self.channel, f"{session_id} {version}")
            pipeline.execute()

        self.call(send)

    def run_script(self, script: str, key: str, *args: Any, operation: str = "script") -> Any:
        """Run a Lua script on one key, by its hash; a server that lacks it is sent the text.

        Raises:
            TierUnavailableError: as `call`.

        """
        return self._attempt(self._script, (script, key, *args), operation)

    def close(self) -> None:
        """Close the connections; the next call opens them again."""
        self._pool.disconnect()

    def start_afresh(self) -> None:
        """Begin anew in a child after fork."""
        self.breaker.start_afresh()

    def _attempt(self, work: Callable[[Any], Answer], argument: Any, operation: str) -> Answer:
        seconds = self._allowed_seconds()
        began = time.monotonic()
        DEADLINE.at = began + seconds
        try:
            answer = work(argument)
        except redis.ResponseError as exc:
            self.breaker.succeeded()  # an answer, though not the one that was wanted
            message = f"Redis refused: {type(exc).__name__}"
            raise TierUnavailableError(message) from exc
        except (redis.RedisError, OSError) as exc:
            self.breaker.failed()
            message = f"Redis did not answer: {type(exc).__name__}"
            raise TierUnavailableError(message) from exc
        finally:
            DEADLINE.at = None
            spent = time.monotonic() - began
            if self._budget is not None:
                self._budget.left_seconds -= spent
            if operation != "read" or next(_sampling) % _SAMPLE == 0:
                _timer(operation)(spent)
        self.breaker.succeeded()
        return answer

    def _allowed_seconds(self) -> float:
        """Return what the next call may take.

        Raises:
            TierUnavailableError: it may not be made.

        """
        budget = self._budget
        seconds = _PATIENCE_SECONDS if budget is None else budget.left_seconds
        if seconds < _LEAST_SECONDS:
            _over_budget.inc()
            message = "This request's time for Redis is spent."
            raise TierUnavailableError(message)
        if not self.breaker.allows():
            message = "Redis is being left alone after repeated failures."
            raise TierUnavailableError(message)
        return min(seconds, self._probe_seconds) if self.breaker.is_open else seconds

    def _command(self, parts: tuple[Any, ...]) -> Any:
        connection: Any = self._pool.get_connection()
        try:
            connection.send_packed_command([hiredis.pack_command(parts)], check_health=False)
            answer = connection.read_response()
        except redis.ResponseError as exc:
            # A replica that was the primary: whoever connects anew finds the new one.
            if isinstance(exc, ReadOnlyError):
                connection.disconnect()
            raise
        except BaseException:
            # A reply may still be on its way; it must not answer the next command (promise R47).
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)
        return answer

    def _script(self, call: tuple[Any, ...]) -> Any:
        script, *rest = call
        try:
            return self._command(("EVALSHA", _sha(script), 1, *rest))
        except NoScriptError:
            return self._command(("EVAL", script, 1, *rest))

    def _fresh(self, copy: Copy | None, now: datetime) -> Copy | None:
        return copy if copy is not None and is_young(copy, now, self._bound) else None

    def _ttl_ms(self, copy: Copy) -> int:
        left = self._bound - (self._clock.now() - copy.true_at)
        return int(left / timedelta(milliseconds=1))
