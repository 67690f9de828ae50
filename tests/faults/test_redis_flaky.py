"""Redis fails now and then, and goes on failing: the relay catches up all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis

from funnel.local.ports import LOOPBACK
from sessions_unified import event_log
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.metrics import RELAY_FAILURES
from sessions_unified.relay import Relay, consumers_of
from tests.fault_proxy import FaultProxy
from tests.managing import ORDER, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessions_unified.tiers import Tiers
    from tests.fault_proxy import Connection
    from tests.fault_servers import OwnServer

SESSIONS = 120
BATCH = 4
SHARE = 0.05  # of what is sent in either direction; a connection that breaks off costs more


class FlakyProxy(FaultProxy):
    """Closes a connection at a share of the commands, or of their answers."""

    share: float = 0

    async def _let_through(self, connection: Connection, held_by: set[str]) -> bool:
        if self._random.random() < self.share:
            return False
        return await super()._let_through(connection, held_by)


@pytest.fixture
def flaky(redis_proxy: FaultProxy, valkey: OwnServer) -> Iterator[FlakyProxy]:
    """Return a proxy behind that of this process."""
    with FlakyProxy(target=valkey.target) as proxy:
        redis_proxy.target = (LOOPBACK, proxy.port)
        redis_proxy.drop_connections()
        yield proxy


def test_r21_no_old_copy_stays(
    flaky: FlakyProxy, valkey: OwnServer, make_process: Callable[..., Tiers]
) -> None:
    tiers = make_process(
        L1_ENABLED=False,
        REDIS_BUDGET_MS=2000,
        RELAY_BATCH_SIZE=BATCH,
        RELAY_POLL_SECONDS=0.01,
        BREAKER_RESET_SECONDS=0.1,
    )
    assert tiers.redis is not None
    manager = UnifiedSessionManager(tiers=tiers)
    relay = Relay(consumers_of(tiers), tiers)
    assert relay.drain()
    ids = [manager.create_session(**ORDER).id for _ in range(SESSIONS)]
    # A writer that dies before it tells the caches.
    dies = UnifiedSessionManager(tiers=replace(tiers, memory=None, redis=None, channel=None))
    for session_id in ids:
        manager.get_session(session_id)
        dies.update_session(session_id, {"metadata": {"n": 2}})
    keys = [tiers.redis.key(session_id) for session_id in ids]
    failures = RELAY_FAILURES.labels("caches")
    failed = failures._value.get()

    with redis.Redis.from_url(valkey.url) as direct:
        old = direct.exists(*keys)
        flaky.share = SHARE
        wait_for(lambda: relay.drain() and event_log.lag("caches").events == 0, seconds=60)
        left = direct.exists(*keys)

    print(f"{failures._value.get() - failed:.0f} batches failed")
    assert old == SESSIONS
    assert failures._value.get() - failed >= 3
    assert left == 0
