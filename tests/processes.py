"""Simulated processes: tiers of their own, whose messages the test hands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import redis

    from sessions_unified.tiers import Tiers


@dataclass(kw_only=True)
class Process:
    """A process: its tiers, the messages on their way to it, and what it knows (id → version)."""

    name: str
    tiers: Tiers
    inbox: list[bytes] = field(default_factory=list)
    floors: dict[str, int] = field(default_factory=dict)
    is_cut: bool = False
    is_silent: bool = False

    def knows(self, session_id: str, version: int) -> None:
        self.floors[session_id] = max(version, self.floors.get(session_id, 0))

    def takes_no_part_in_pubsub(self) -> None:
        """Leave it to the test what reaches the channel, and when."""
        assert self.tiers.channel is not None
        self.tiers.channel.start = lambda: None

    def hear(self, data: bytes) -> None:
        channel = self.tiers.channel
        assert channel is not None
        assert self.tiers.redis is not None
        channel._receive({"channel": self.tiers.redis.channel.encode(), "data": data})

    def gap(self, *, is_cut: bool) -> None:
        """Lose the connection of the channel, or have it again."""
        assert self.tiers.channel is not None
        self.is_cut, self.is_silent = is_cut, False
        self.inbox.clear()
        self.tiers.channel._gap()
        set_live(self.tiers, is_live=not is_cut)


class Messages:
    """What is published on the channel of invalidations, read by the test alone."""

    def __init__(self, tiers: Tiers, client: redis.Redis) -> None:
        assert tiers.redis is not None
        self.client = client
        self._pubsub = client.pubsub()
        self._pubsub.subscribe(tiers.redis.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._pubsub.close()

    def collect(self) -> list[bytes]:
        """Return all that was published until now: a pong comes after it."""
        self._pubsub.ping()
        messages = []
        while True:
            message = self._pubsub.get_message(timeout=5)
            assert message is not None
            if message["type"] == "pong":
                return messages
            if message["type"] == "message":
                messages.append(message["data"])


def set_live(tiers: Tiers, *, is_live: bool) -> None:
    """Do what the channel does when it is proven alive, or was cut."""
    assert tiers.memory is not None
    tiers.memory.live_until = float("inf" if is_live else "-inf")
