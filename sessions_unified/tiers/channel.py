"""The invalidation channel: Redis pub/sub that L1 trusts only while it is proven alive."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from sessions_unified.tiers.memory import MemoryTier
    from sessions_unified.tiers.redis import RedisTier

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2


class InvalidationChannel:
    """Listens for ``<id> <version>`` messages and drops older copies from L1.

    Every heartbeat it publishes a ping of its own and waits for it on its subscription: what was
    published before the ping has then arrived too. Silence for the timeout, or any error, means
    that messages may have been missed: L1 is emptied, and bypassed until a ping returns. So does
    the beginning of a subscription, the client's own reconnection too: a load that began before
    it may have missed its message, so its lease goes.
    """

    def __init__(
        self,
        *,
        redis_tier: RedisTier,
        prefix: str,
        heartbeat_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._redis = redis_tier
        self._heartbeat = heartbeat_seconds
        self._timeout = timeout_seconds
        self._ping_channel = f"{prefix}:ping:{secrets.token_hex(8)}"
        self._proven_at: float | None = None  # when the last ping that came back was sent
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.memory: MemoryTier | None = None

    def is_alive(self) -> bool:
        """Return whether every message until a moment ago has surely arrived."""
        if self._thread is None:
            self.start()
        proven = self._proven_at
        return proven is not None and time.monotonic() - proven < self._timeout

    def start(self) -> None:
        """Start listening, once."""
        with self._start_lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="sessions-invalidation", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Stop listening; L1 is bypassed from now on."""
        self._stop.set()
        self._proven_at = None
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError) as exc:
                logger.warning("The invalidation channel was cut: %s", type(exc).__name__)
            except Exception:  # without this thread L1 would be bypassed for good
                logger.exception("The invalidation channel failed")
            self._gap()
            self._stop.wait(self._heartbeat)

    def _listen(self) -> None:
        client = self._redis.connection()
        with client.pubsub() as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(self._redis.channel, self._ping_channel)
            sent = 0.0
            while not self._stop.is_set():
                now = time.monotonic()
                if now - sent >= self._heartbeat:
                    client.publish(self._ping_channel, repr(now))
                    sent = now
                message = subscription.get_message(timeout=_POLL_SECONDS)
                if message is not None and message["type"] == "message":
                    self._receive(message)
                elif message is not None:  # subscribed, or subscribed again
                    self._gap()
                if self._proven_at is not None and now - self._proven_at > self._timeout:
                    self._gap()

    def _receive(self, message: dict[str, Any]) -> None:
        data: bytes = message["data"]
        if message["channel"].decode() == self._ping_channel:
            self._proven_at = float(data)
            return
        session_id, _, version = data.decode().partition(" ")
        if self.memory is not None:
            self.memory.invalidate(session_id, int(version))

    def _gap(self) -> None:
        self._proven_at = None
        if self.memory is not None:
            self.memory.clear()
