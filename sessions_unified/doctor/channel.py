"""L1 and what keeps it honest: this process's channel, and a message published and received."""

from __future__ import annotations

import time
from typing import Final

from sessions_unified import ids
from sessions_unified.conf import get_conf
from sessions_unified.doctor import redis
from sessions_unified.doctor.findings import Check, Finding, Stopwatch, failed, ok
from sessions_unified.tiers import get_tiers

_POLL_SECONDS: Final = 0.02
_MESSAGE_SECONDS: Final = 2.0


def _memory() -> Finding:
    tiers = get_tiers()
    if tiers.memory is None:
        return ok("off")
    if tiers.channel is None:
        return ok("on: one process needs no channel")
    watch = Stopwatch()
    deadline = get_conf().HEARTBEAT_TIMEOUT_SECONDS
    while not tiers.channel.is_alive():
        if watch.ms > deadline * 1000:
            return failed(
                f"bypassed: no heartbeat came back within {deadline:g} s",
                "Shoppers are served by Redis and the database. May this user publish and "
                "subscribe?",
                "invalidation-gaps",
            )
        time.sleep(_POLL_SECONDS)
    return ok("on: its channel is proven alive", ms=watch.ms)


def _invalidation() -> Finding:
    tier = get_tiers().redis
    if tier is None:
        return ok("not used: there is no Redis")
    client = redis.client()
    # No process has this session, so the message drops nothing.
    message = f"{ids.mint_session_id(0)} 1"
    with client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(tier.channel)
        subscription.get_message(ignore_subscribe_messages=False, timeout=_MESSAGE_SECONDS)
        watch = Stopwatch()
        hearers = client.publish(tier.channel, message)
        while watch.ms < _MESSAGE_SECONDS * 1000:
            found = subscription.get_message(timeout=_MESSAGE_SECONDS)
            if found is not None and found["data"] == message.encode():
                return ok(f"published and received; {hearers} subscribers", ms=watch.ms)
    return failed(
        "a message that was published did not come back",
        "Do publisher and subscribers reach the same server?",
        "invalidation-gaps",
    )


_ADVICE: Final = "L1 is bypassed until its channel is back; shoppers are served all the same."
CHECKS: Final = [
    Check(
        name="memory (L1)",
        look=_memory,
        advice=_ADVICE,
        runbook="invalidation-gaps",
        needs="redis",
    ),
    Check(
        name="invalidation",
        look=_invalidation,
        advice=_ADVICE,
        runbook="invalidation-gaps",
        needs="redis",
    ),
]
