"""Every tier that can be filled keeps the one contract; Redis is a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessions_unified.testing import FrozenClock, InMemoryTier
from sessions_unified.tiers.breaker import CircuitBreaker
from sessions_unified.tiers.memory import MemoryTier
from sessions_unified.tiers.redis import RedisTier
from tests.contracts.tier import BOUND_SECONDS, TierContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis


class TestInMemoryTier(TierContract):
    @pytest.fixture
    def tier(self, clock: FrozenClock) -> InMemoryTier:
        return InMemoryTier(clock=clock, staleness_bound_seconds=BOUND_SECONDS)


class TestMemoryTier(TierContract):
    @pytest.fixture
    def tier(self, clock: FrozenClock) -> MemoryTier:
        return MemoryTier(clock=clock, max_entries=100, staleness_bound_seconds=BOUND_SECONDS)

    def test_the_least_recently_used_copy_goes_first(self, clock: FrozenClock) -> None:
        tier = MemoryTier(clock=clock, max_entries=2, staleness_bound_seconds=BOUND_SECONDS)
        for name in ("a", "b"):
            self.filled(tier, self.copy(clock, session_id=f"ws_1_{name}"))
        tier.read("ws_1_a")

        self.filled(tier, self.copy(clock, session_id="ws_1_c"))

        assert len(tier) == 2
        assert tier.peek("ws_1_b") is None
        assert tier.peek("ws_1_a") is not None

    def test_r06_nothing_is_served_or_kept_while_the_channel_is_not_alive(
        self, clock: FrozenClock
    ) -> None:
        tier = MemoryTier(clock=clock, max_entries=9, staleness_bound_seconds=BOUND_SECONDS)
        self.filled(tier, self.copy(clock))

        tier.live_until = clock.elapsed()
        read = tier.read("ws_1_a")

        assert read.copy is None
        assert read.lease is not None
        assert not tier.fill(self.copy(clock), read.lease)
        assert tier.peek_many(["ws_1_a"]) == {}

    def test_r07_permuted_and_doubled_messages_drop_only_what_is_older(
        self, clock: FrozenClock
    ) -> None:
        tier = MemoryTier(clock=clock, max_entries=9, staleness_bound_seconds=BOUND_SECONDS)
        self.filled(tier, self.copy(clock, version=3))

        for version in (2, 1, 3, 3, 2):
            tier.invalidate("ws_1_a", version)
        kept = tier.peek("ws_1_a")
        tier.invalidate("ws_1_a", 4)

        assert kept is not None
        assert tier.peek("ws_1_a") is None

    def test_a_load_during_which_its_invalidation_arrives_is_not_kept(
        self, clock: FrozenClock
    ) -> None:
        tier = MemoryTier(clock=clock, max_entries=9, staleness_bound_seconds=BOUND_SECONDS)
        lease = tier.read("ws_1_a").lease or ""

        tier.invalidate("ws_1_a", 2)

        assert not tier.fill(self.copy(clock), lease)

    def test_a_load_during_which_a_gap_comes_is_not_kept(self, clock: FrozenClock) -> None:
        tier = MemoryTier(clock=clock, max_entries=9, staleness_bound_seconds=BOUND_SECONDS)
        lease = tier.read("ws_1_a").lease or ""

        tier.clear()

        assert not tier.fill(self.copy(clock), lease)


@pytest.mark.usefixtures("redis_flush")
class TestRedisTier(TierContract):
    @pytest.fixture
    def tier(self, clock: FrozenClock) -> Iterator[RedisTier]:
        tier = RedisTier(
            clock=clock,
            alias="default",
            prefix="test",
            staleness_bound_seconds=BOUND_SECONDS,
            lease_seconds=10,
            breaker=CircuitBreaker(failures=3, reset_seconds=5),
        )
        yield tier
        tier.close()

    def test_r03_losing_every_key_loses_no_guard(
        self, tier: RedisTier, clock: FrozenClock, redis_client: redis.Redis
    ) -> None:
        lease = tier.read("ws_1_a").lease or ""

        redis_client.flushall()  # a filler and a putter of v1 stall meanwhile; v2 is committed
        tier.put(self.copy(clock, version=2))
        resumed = tier.fill(self.copy(clock), lease)
        tier.put(self.copy(clock))

        assert not resumed
        assert tier.read("ws_1_a").copy is None

    def test_redis_itself_drops_a_copy_at_the_bound(
        self, tier: RedisTier, clock: FrozenClock, redis_client: redis.Redis
    ) -> None:
        self.filled(tier, self.copy(clock))

        left = redis_client.pttl(tier.key("ws_1_a"))

        assert 0 < left <= BOUND_SECONDS * 1000

    def test_an_unknown_format_is_a_miss_that_can_be_filled(
        self, tier: RedisTier, clock: FrozenClock, redis_client: redis.Redis
    ) -> None:
        self.filled(tier, self.copy(clock))
        value = redis_client.get(tier.key("ws_1_a")) or b""
        redis_client.set(tier.key("ws_1_a"), value[:33] + b"9" + value[34:])

        self.filled(tier, self.copy(clock, version=2))

        assert tier.read("ws_1_a").copy == self.copy(clock, version=2)

    def test_a_forgotten_script_is_loaded_again(
        self, tier: RedisTier, clock: FrozenClock, redis_client: redis.Redis
    ) -> None:
        self.filled(tier, self.copy(clock))

        redis_client.script_flush()
        tier.put(self.copy(clock, version=2))

        assert tier.read("ws_1_a").copy == self.copy(clock, version=2)
