"""What integration tests share: two sets of tiers, as two processes would have them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import pytest

from sessions_unified.clock import DatabaseClock
from sessions_unified.conf import Conf, get_conf
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.tiers import Tiers, build_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessions_unified.testing import FrozenClock


class MakeTiers(Protocol):
    """Builds the tiers of one more process."""

    def __call__(self, *, clock: FrozenClock | None = None, **changes: object) -> Tiers:
        """``changes`` replace settings."""


@pytest.fixture
def make_tiers(transactional_db: None, redis_flush: None) -> Iterator[MakeTiers]:
    """Return a function that builds tiers as a process has them; their channels are stopped."""
    built: list[Tiers] = []

    def make(*, clock: FrozenClock | None = None, **changes: object) -> Tiers:
        conf = get_conf()
        values = {name: getattr(conf, name) for name in Conf.__dataclass_fields__}
        values |= {"HEARTBEAT_SECONDS": 0.1, "HEARTBEAT_TIMEOUT_SECONDS": 2.0} | changes
        tiers = build_tiers(Conf(**values), clock or DatabaseClock())
        built.append(tiers)
        return tiers

    yield make
    for tiers in built:
        if tiers.channel is not None:
            tiers.channel.stop()


@pytest.fixture
def manager(make_tiers: MakeTiers) -> UnifiedSessionManager:
    """Return a manager over tiers whose L1 is alive."""
    return warm(UnifiedSessionManager(tiers=make_tiers()))


def warm(manager: UnifiedSessionManager) -> UnifiedSessionManager:
    """Wait until the manager's invalidation channel has proven itself."""
    channel = manager._tiers.channel
    assert channel is not None
    wait_for(channel.is_alive)
    return manager


def wait_for(condition: Callable[[], object], *, seconds: float = 10) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
