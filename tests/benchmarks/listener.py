"""Another process of the site, whose L1 drops what ours invalidates, and a bare subscriber.

Talks over its standard streams: ``fill <id> <id> …`` fills L1 and answers ``filled``; each
message received answers the monotonic time (ns) at which it had taken effect.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import django
import redis

if TYPE_CHECKING:
    from sessions_unified.tiers import Tiers

BARE_CHANNEL = "peer:invalidate"


def main() -> None:
    """Listen until standard input ends."""
    django.setup()
    from django.conf import settings

    from sessions_unified import get_manager
    from sessions_unified.tiers import get_tiers

    tiers = get_tiers()
    note_drops(tiers)
    threading.Thread(target=listen_barely, args=[settings.REDIS_URL], daemon=True).start()
    while tiers.channel is not None and not tiers.channel.is_alive():
        time.sleep(0.05)
    answer("ready")
    for line in sys.stdin:
        for session_id in line.split():
            get_manager().get_session(session_id)
        answer("filled")


def note_drops(tiers: Tiers) -> None:
    """Answer after each invalidation that has dropped its copy."""
    memory = tiers.memory
    assert memory is not None
    invalidate = memory.invalidate

    def noted(session_id: str, version: int) -> None:
        invalidate(session_id, version)
        now = time.monotonic_ns()
        answer(str(now) if memory.peek(session_id) is None else "kept")

    memory.invalidate = noted  # type: ignore[method-assign]  # this process exists to be watched


def listen_barely(url: str) -> None:
    """Answer each message of the bare channel, as redis-py hands it to a callback."""

    def noted(message: dict[str, Any]) -> None:
        answer(str(time.monotonic_ns()))

    subscription: Any = redis.Redis.from_url(url).pubsub()
    subscription.subscribe(**{BARE_CHANNEL: noted})
    for _ in subscription.listen():
        pass


def answer(text: str) -> None:
    """Write one line at once."""
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    main()
