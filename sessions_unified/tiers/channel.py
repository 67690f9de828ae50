"""The invalidation channel: Redis pub/sub that L1 trusts only while it is proven alive."""

from __future__ import annotations

import logging
import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

import redis

from sessions_unified import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.tiers.memory import MemoryTier
    from sessions_unified.tiers.redis import RedisTier

logger = logging.getLogger(__name__)

EVERYTHING: Final = "*"
_POLL_SECONDS: Final = 0.2
_WARN_EVERY_SECONDS: Final = 60.0
_NEVER: Final = float("-inf")


class InvalidationChannel:
    """Listens for ``<id> <version>`` messages and drops older copies from L1; ``*`` empties it.

    Every heartbeat it publishes a ping of its own and waits for it on its subscription: what was
    published before the ping has then arrived too. L1 may serve until the timeout after the last
    ping that came back was sent. Silence for longer, or any error, means that messages may have
    been missed: L1 is emptied, and bypassed until a ping returns. So does the beginning of a
    subscription, the client's own reconnection too: a load that began before it may have missed
    its message, so its lease goes.
    """

    def __init__(
        self,
        *,
        redis_tier: RedisTier,
        memory: MemoryTier,
        prefix: str,
        heartbeat_seconds: float,
        timeout_seconds: float,
        elapsed: Callable[[], float],
    ) -> None:
        self._redis = redis_tier
        self._memory = memory
        self._heartbeat = heartbeat_seconds
        self._timeout = timeout_seconds
        self._elapsed = elapsed
        self._ping_channel = f"{prefix}:ping:{secrets.token_hex(8)}"
        self._warned_at = _NEVER
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def is_alive(self) -> bool:
        """Return whether every message until a moment ago has surely arrived."""
        self.start()
        return self._memory.is_live

    def start(self) -> None:
        """Start listening, once."""
        if self._thread is None:
            self._start()

    def stop(self) -> None:
        """Stop listening; L1 is bypassed from now on."""
        self._stop.set()
        self._memory.live_until = _NEVER
        if self._thread is not None:
            self._thread.join(timeout=5)

    def start_afresh(self) -> None:
        """Forget the parent's thread in a child after fork: the next read starts one."""
        self._start_lock = threading.Lock()
        self._thread = None
        self._stop = threading.Event()
        self._ping_channel = f"{self._ping_channel.rpartition(':')[0]}:{secrets.token_hex(8)}"

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="sessions-invalidation", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError) as exc:
                self._warn(exc)
            except Exception:  # without this thread L1 would be bypassed for good
                logger.exception("The invalidation channel failed")
            self._gap()
            self._stop.wait(self._heartbeat)

    def _warn(self, exc: Exception) -> None:
        """Log a cut, and one that lasts once a minute."""
        now = self._elapsed()
        if now - self._warned_at >= _WARN_EVERY_SECONDS:
            self._warned_at = now
            logger.warning("The invalidation channel was cut: %s", type(exc).__name__)

    def _listen(self) -> None:
        client = self._redis.connection()
        with client.pubsub() as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(self._redis.channel, self._ping_channel)
            sent = _NEVER
            heard = self._elapsed()  # a ping, or the beginning
            while not self._stop.is_set():
                now = self._elapsed()
                if now - sent >= self._heartbeat:
                    client.publish(self._ping_channel, repr(now))
                    sent = now
                message = subscription.get_message(timeout=min(_POLL_SECONDS, self._heartbeat))
                if message is not None and message["type"] == "message":
                    if self._receive(message):
                        heard = self._elapsed()
                elif message is not None:  # subscribed, or subscribed again
                    self._gap()
                if self._elapsed() - heard > 2 * self._timeout:
                    # Cut where nobody was told, or it leads to another server than the pings.
                    raise redis.TimeoutError("No ping has come back")
                if _NEVER < self._memory.live_until <= self._elapsed():
                    self._gap()

    def _receive(self, message: dict[str, Any]) -> bool:
        """Do what a message says; return whether it was a ping of ours."""
        data: bytes = message["data"]
        if message["channel"].decode() == self._ping_channel:
            self._memory.live_until = float(data) + self._timeout
            return True
        session_id, _, version = data.decode().partition(" ")
        if session_id == EVERYTHING:
            self._memory.clear()
        else:
            self._memory.invalidate(session_id, int(version))
        return False

    def _gap(self) -> None:
        if self._memory.live_until > _NEVER:
            metrics.GAPS.inc()
        self._memory.live_until = _NEVER
        self._memory.clear()
