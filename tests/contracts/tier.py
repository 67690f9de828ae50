"""The contract of every tier that can be filled; the in-memory twin passes the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta

import msgspec
import pytest

from sessions_unified.testing import FrozenClock
from sessions_unified.tiers.base import Copy, Tier
from tests.sessions import snapshot

BOUND_SECONDS = 60


class TierContract(ABC):
    """Subclass, and say how the tier is made."""

    @pytest.fixture
    def clock(self) -> FrozenClock:
        return FrozenClock()

    @pytest.fixture
    @abstractmethod
    def tier(self, clock: FrozenClock) -> Tier: ...

    def copy(self, clock: FrozenClock, *, version: int = 1, session_id: str = "ws_1_a") -> Copy:
        return Copy(snapshot(id=session_id, version=version), clock.now())

    def filled(self, tier: Tier, copy: Copy) -> None:
        lease = tier.read(copy.session.id).lease
        assert lease is not None
        assert tier.fill(copy, lease)

    def test_a_miss_leaves_a_lease_which_later_misses_share(self, tier: Tier) -> None:
        first, second = tier.read("ws_1_a"), tier.read("ws_1_a")

        assert first.copy is None
        assert first.lease is not None
        assert second == first

    def test_a_fill_under_the_lease_is_kept_whole(self, tier: Tier, clock: FrozenClock) -> None:
        copy = self.copy(clock)

        self.filled(tier, copy)

        assert tier.read("ws_1_a").copy == copy
        assert tier.peek("ws_1_a") == copy

    def test_a_fill_without_the_lease_is_refused(self, tier: Tier, clock: FrozenClock) -> None:
        assert not tier.fill(self.copy(clock), "no-such-lease")
        assert tier.peek("ws_1_a") is None

    def test_a_lease_serves_once(self, tier: Tier, clock: FrozenClock) -> None:
        lease = tier.read("ws_1_a").lease or ""
        assert tier.fill(self.copy(clock), lease)

        assert not tier.fill(self.copy(clock, version=2), lease)
        assert tier.read("ws_1_a").copy == self.copy(clock)

    def test_a_put_never_creates(self, tier: Tier, clock: FrozenClock) -> None:
        tier.put(self.copy(clock))

        assert tier.peek("ws_1_a") is None

    def test_a_put_replaces_an_older_copy(self, tier: Tier, clock: FrozenClock) -> None:
        self.filled(tier, self.copy(clock))

        tier.put(self.copy(clock, version=2))

        assert tier.read("ws_1_a").copy == self.copy(clock, version=2)

    def test_a_put_never_replaces_a_newer_copy(self, tier: Tier, clock: FrozenClock) -> None:
        self.filled(tier, self.copy(clock, version=3))

        tier.put(self.copy(clock, version=2))

        assert tier.read("ws_1_a").copy == self.copy(clock, version=3)

    def test_a_put_ends_the_lease_of_a_load_that_began_before_it(
        self, tier: Tier, clock: FrozenClock
    ) -> None:
        lease = tier.read("ws_1_a").lease or ""

        tier.put(self.copy(clock, version=2))

        assert not tier.fill(self.copy(clock), lease)
        assert tier.peek("ws_1_a") is None

    def test_a_stalled_put_does_not_fill_the_lease_of_a_later_reader(
        self, tier: Tier, clock: FrozenClock
    ) -> None:
        # v2 is committed and its put stalls; v3 is committed and its put finds nothing.
        tier.put(self.copy(clock, version=3))
        tier.read("ws_1_a")

        tier.put(self.copy(clock, version=2))

        assert tier.read("ws_1_a").copy is None

    def test_a_delete_removes_the_copy(self, tier: Tier, clock: FrozenClock) -> None:
        self.filled(tier, self.copy(clock))

        tier.delete("ws_1_a", 2)

        assert tier.read("ws_1_a").copy is None

    def test_r02_a_load_that_began_before_a_delete_cannot_bring_it_back(
        self, tier: Tier, clock: FrozenClock
    ) -> None:
        lease = tier.read("ws_1_a").lease or ""

        tier.delete("ws_1_a", 2)

        assert not tier.fill(self.copy(clock), lease)
        assert tier.read("ws_1_a").copy is None

    def test_r02_a_put_that_stalls_across_a_delete_cannot_bring_it_back(
        self, tier: Tier, clock: FrozenClock
    ) -> None:
        self.filled(tier, self.copy(clock))

        tier.delete("ws_1_a", 3)
        tier.put(self.copy(clock, version=2))

        assert tier.read("ws_1_a").copy is None

    def test_r05_a_copy_at_the_bound_is_a_miss_that_can_be_filled(
        self, tier: Tier, clock: FrozenClock
    ) -> None:
        self.filled(tier, self.copy(clock))

        clock.advance(seconds=BOUND_SECONDS)

        read = tier.read("ws_1_a")
        assert read.copy is None
        assert tier.peek("ws_1_a") is None
        assert read.lease is not None
        assert tier.fill(self.copy(clock, version=2), read.lease)

    def test_r05_the_age_of_a_copy_travels_with_it(self, tier: Tier, clock: FrozenClock) -> None:
        old = Copy(snapshot(id="ws_1_a"), clock.now() - timedelta(seconds=BOUND_SECONDS - 1))
        self.filled(tier, old)

        clock.advance(seconds=2)

        assert tier.read("ws_1_a").copy is None

    def test_sessions_do_not_mix(self, tier: Tier, clock: FrozenClock) -> None:
        self.filled(tier, self.copy(clock))
        self.filled(tier, self.copy(clock, session_id="ws_1_b"))

        tier.delete("ws_1_a", 2)

        assert tier.peek_many(["ws_1_a", "ws_1_b", "ws_1_c"]) == {
            "ws_1_b": self.copy(clock, session_id="ws_1_b")
        }

    def test_peek_leaves_no_lease(self, tier: Tier, clock: FrozenClock) -> None:
        tier.peek("ws_1_a")

        tier.put(self.copy(clock))
        assert tier.peek("ws_1_a") is None

    def test_every_field_survives(self, tier: Tier, clock: FrozenClock) -> None:
        rich = snapshot(id="ws_1_a", **RICH)

        self.filled(tier, Copy(rich, clock.now()))

        read = tier.read("ws_1_a").copy
        assert read is not None
        assert msgspec.structs.astuple(read.session) == msgspec.structs.astuple(rich)
        assert read.session == rich


RICH = {
    "email": "ana@exämple.org",
    "customer": {"firstName": "Zoë", "address": {"lines": ["1 High St", None]}, "n": 1.5},
    "products": [{"id": "SOIL", "quantity": 2, "name": "Soil", "price": "12.50"}],
    "amount": "25.00",
    "vault_id": "v1",
    "transaction_id": "t1",
    "payment_token": "tok",
    "upsells": {"accepted": ["a"], "declined": ["b"], "details": {"a": {"amount": 1}}},
    "metadata": {"utm": ["x", {"y": True}], "big": 2**40},
}
