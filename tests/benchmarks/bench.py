"""What the rows share: servers, 10,000 sessions, managers over one, two or three tiers."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
import psycopg
import redis
from django.db import connection, transaction

from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.tiers import Tiers, build_tiers, get_tiers, reset_tiers
from sessions_unified.tiers.base import Copy
from sessions_unified.tiers.codec import encode
from sessions_unified.wire import to_wire
from tests.benchmarks.measuring import Measured, Plan, Side, compare, profile
from tests.benchmarks.payload import ORDER
from tests.benchmarks.traffic import Expected, Traffic, WrongTierError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.core.cache.backends.base import BaseCache
    from psycopg import Connection

    from sessions_unified.snapshot import SessionSnapshot
    from tests.benchmarks.measuring import Operation
    from tests.benchmarks.servers import Servers

SESSIONS: Final = 10_000
_ALIVE_SECONDS: Final = 10
_AT_ONCE: Final = 200
_FLUSH: Final = "SELECT pg_stat_force_next_flush()"


@dataclass(kw_only=True)
class Bench:
    """One run.

    Attributes:
        servers: what is measured with.
        plan: how often.
        bulk_rows: how many sessions `expire`, `purge` and `backfill` handle.
        growth_rows: how many the large database of `growth` holds.
        is_profiled: print where each row's time goes.

    """

    servers: Servers
    plan: Plan
    bulk_rows: int
    growth_rows: int
    is_profiled: bool = False
    stack: ExitStack = field(default_factory=ExitStack)

    # Sessions

    @cached_property
    def sessions(self) -> list[SessionSnapshot]:
        """The sessions that ours reads and writes."""
        return self._created(SESSIONS)

    @cached_property
    def peers(self) -> list[SessionSnapshot]:
        """As many that only the baselines write."""
        return self._created(SESSIONS)

    @cached_property
    def ids(self) -> list[str]:
        """Ours' ids."""
        return [session.id for session in self.sessions]

    @cached_property
    def peer_ids(self) -> list[str]:
        """The baselines' ids."""
        return [session.id for session in self.peers]

    @staticmethod
    def _created(number: int) -> list[SessionSnapshot]:
        with transaction.atomic():  # one commit; the loading isn't measured
            manager = get_manager()
            created = [manager.create_session(**ORDER) for _ in range(number)]
        gc.collect()
        gc.freeze()  # what is loaded here isn't collected in the middle of a block
        return created

    # Tiers

    @cached_property
    def all_tiers(self) -> Tiers:
        """This process's own, with L1's channel proven alive."""
        tiers = get_tiers()
        assert tiers.channel is not None
        deadline = time.monotonic() + _ALIVE_SECONDS
        while not tiers.channel.is_alive():
            if time.monotonic() > deadline:
                raise WrongTierError("L1's invalidation channel did not come alive.")
            time.sleep(0.05)
        return tiers

    def stop_l1(self) -> None:
        """Stop listening in this process, until `all_tiers` is asked for again."""
        reset_tiers()
        self.__dict__.pop("all_tiers", None)

    @cached_property
    def without_l1(self) -> Tiers:
        """Redis and the database."""
        return self.tiers(L1_ENABLED=False)

    @cached_property
    def database_only(self) -> Tiers:
        """The database alone."""
        return self.tiers(L1_ENABLED=False, CACHE_ALIAS="locmem")

    def tiers(self, **changes: Any) -> Tiers:
        """Return tiers of other settings; what listens is stopped after the run."""
        tiers = build_tiers(replace(get_conf(), **changes), get_clock())
        if tiers.channel is not None:
            self.stack.callback(tiers.channel.stop)
        return tiers

    # Sides

    def ours(
        self,
        tiers: Callable[[], Tiers],
        call: Callable[[UnifiedSessionManager], Operation],
        *,
        keys: Sequence[Any],
        expected: Expected,
        prepare: Callable[[Sequence[Any]], object] = lambda keys: None,
    ) -> Side:
        """Return our side: a manager made once a block, its answers neither degraded nor misplaced.

        ``call`` takes the manager and returns what is timed.
        """
        made: list[UnifiedSessionManager] = []

        def start() -> Operation:
            if made and made[-1].degraded:
                raise WrongTierError(f"Answers were degraded: {made[-1].degraded}.")
            made[:] = [UnifiedSessionManager(tiers=tiers())]
            return call(made[0])

        proof = self.traffic.expecting(expected)
        return Side(start=start, keys=keys, prepare=prepare, proof=proof)

    def compare(self, ours: Side, baseline: Side, *, plan: Plan | None = None) -> Measured:
        """Compare two sides by the run's plan."""
        measured = compare(ours, baseline, plan or self.plan)
        ours.start()  # looks at the last block's manager
        if self.is_profiled:
            print(profile(ours, plan or self.plan))
        return measured

    # What the baselines use

    @cached_property
    def redis(self) -> Any:
        """A bare client."""
        return self.stack.enter_context(redis.Redis.from_url(self.servers.redis_url))

    @cached_property
    def database(self) -> Connection:
        """A bare connection in autocommit."""
        bare = self.stack.enter_context(psycopg.connect(self.servers.database_url, autocommit=True))
        self.traffic.flush.append(lambda: bare.execute(_FLUSH))
        return bare

    @cached_property
    def traffic(self) -> Traffic:
        """What the servers count."""
        traffic = Traffic(
            admin_url=self.servers.admin_url,
            database=urlsplit(self.servers.database_url).path[1:],
            redis_url=self.servers.redis_url,
        )
        self.stack.callback(traffic.close)

        def flush() -> None:
            with connection.cursor() as cursor:
                cursor.execute(_FLUSH)

        traffic.flush.append(flush)
        return traffic

    def value(self, session: SessionSnapshot) -> bytes:
        """Return the bytes that L2 keeps of a session."""
        value = encode(Copy(session, get_clock().now()))
        assert value is not None
        return value

    def wire(self, session: SessionSnapshot) -> dict[str, Any]:
        """Return the session as plain JSON values: what peers keep."""
        text = msgspec.json.Encoder(decimal_format="number").encode(to_wire(session))
        answer: dict[str, Any] = msgspec.json.decode(text)
        return answer

    @staticmethod
    def keep(cache: BaseCache, values: dict[str, Any]) -> None:
        """Put values into a peer's cache, in bites that its time limit allows."""
        found = list(values.items())
        for begin in range(0, len(found), _AT_ONCE):
            cache.set_many(dict(found[begin : begin + _AT_ONCE]), timeout=3600)

    def forget(self, keys: Sequence[str]) -> None:
        """Remove the sessions' copies from L2."""
        tier = self.all_tiers.redis
        assert tier is not None
        for begin in range(0, len(keys), _AT_ONCE):
            self.redis.delete(*(tier.key(key) for key in keys[begin : begin + _AT_ONCE]))

    def fill(self, tiers: Tiers, keys: Sequence[str]) -> None:
        """Make the sessions' copies in these tiers new, so that none of them ends in the round."""
        self.forget(keys)
        if tiers.memory is not None:
            tiers.memory.clear()
        for key in keys:
            UnifiedSessionManager(tiers=tiers).get_session(key)
