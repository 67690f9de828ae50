"""L1 is bounded in entries and bytes, shares its snapshots, and starts afresh in a child."""

from __future__ import annotations

import os
import tracemalloc
from datetime import datetime, timedelta
from typing import Any

import pytest

from sessions_unified import metrics
from sessions_unified.testing import FrozenClock
from sessions_unified.tiers import codec
from sessions_unified.tiers.base import Copy
from sessions_unified.tiers.memory import MemoryTier
from tests.sessions import snapshot

ORDER: dict[str, Any] = {
    "email": "ana@example.org",
    "customer": {"firstName": "Ana", "address": {"street": "1 High St", "city": "Ghent"}},
    "products": [{"id": "SOIL", "quantity": 2, "name": "Soil", "price": "12.50"}] * 3,
    "amount": "75.00",
}
SHAPES: dict[str, dict[str, Any]] = {
    "bare": {},
    "order": ORDER,
    "text": {"metadata": {"note": "x" * 8000}},
    "nested": {"metadata": {f"k{n}": {"a": [n, None], "b": f"v{n}"} for n in range(60)}},
}


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


def memory(clock: FrozenClock, **limits: Any) -> MemoryTier:
    return MemoryTier(
        clock=clock, **{"max_entries": 10_000, "staleness_bound_seconds": 60, **limits}
    )


def keep(tier: MemoryTier, clock: FrozenClock, session_id: str, **fields: Any) -> Copy:
    copy = Copy(snapshot(id=session_id, **fields), clock.now())
    assert tier.fill(copy, tier.read(session_id).lease or "")
    return copy


def test_a_hit_is_the_snapshot_itself(clock: FrozenClock) -> None:
    tier = memory(clock)
    copy = keep(tier, clock, "ws_1_a")

    assert tier.hit("ws_1_a") is copy.session


def test_the_copy_that_was_not_used_goes_first(clock: FrozenClock) -> None:
    tier = memory(clock, max_entries=2)
    keep(tier, clock, "ws_1_a")
    keep(tier, clock, "ws_1_b")
    tier.hit("ws_1_a")

    keep(tier, clock, "ws_1_c")

    assert [name for name in "abc" if tier.hit(f"ws_1_{name}")] == ["a", "c"]


def test_it_never_takes_more_bytes_than_it_may(clock: FrozenClock) -> None:
    tier = memory(clock, max_bytes=50_000)

    for number in range(100):
        keep(tier, clock, f"ws_1_{number}", metadata={"note": "x" * 100 * number})

        assert tier.bytes <= 50_000
    assert tier.hit("ws_1_99") is not None
    assert len(tier) < 10


def test_a_copy_larger_than_all_of_it_is_not_kept(clock: FrozenClock) -> None:
    tier = memory(clock, max_bytes=5_000)

    keep(tier, clock, "ws_1_a", metadata={"note": "x" * 10_000})

    assert (len(tier), tier.bytes) == (0, 0)


def test_bytes_come_down_with_every_way_a_copy_goes(clock: FrozenClock) -> None:
    tier = memory(clock)
    for name in "abcd":
        keep(tier, clock, f"ws_1_{name}")

    tier.delete("ws_1_a", 1)
    tier.invalidate("ws_1_b", 2)
    tier.put(Copy(snapshot(id="ws_1_c", version=2, status="expired"), clock.now()))
    one = tier.bytes
    tier.clear()

    assert len(tier) == 0
    assert 0 < one < 2_000
    assert tier.bytes == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimate_of_bytes_is_close(clock: FrozenClock, shape: str) -> None:
    count = 200
    given = [snapshot(id=f"ws_{number}_a", **SHAPES[shape]) for number in range(count)]
    values = [codec.encode(Copy(session, clock.now())) for session in given]
    tier = memory(clock)

    tracemalloc.start()
    for value in values:
        copy = codec.decode(value)
        assert copy is not None
        tier.fill(Copy(copy.session, clock.now()), tier.read(copy.session.id).lease or "")
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(tier) == count
    assert 0.7 < tier.bytes / taken < 1.5


def test_an_expired_session_takes_no_room(clock: FrozenClock) -> None:
    tier = memory(clock)

    keep(tier, clock, "ws_1_a", status="expired")

    assert len(tier) == 0


def test_r11_a_copy_is_not_served_past_the_sessions_end(clock: FrozenClock) -> None:
    tier = memory(clock)
    copy = keep(tier, clock, "ws_1_a", expires_at=clock.now().replace(second=5))

    clock.advance(seconds=4.9)
    before = tier.hit("ws_1_a")
    clock.advance(seconds=0.1)

    assert before is copy.session
    assert tier.hit("ws_1_a") is None


def test_a_child_after_fork_serves_nothing_of_its_parents(clock: FrozenClock) -> None:
    tier = memory(clock, live_until=clock.elapsed() + 60)
    keep(tier, clock, "ws_1_a")
    reader, writer = os.pipe()

    child = os.fork()
    if not child:
        tier.start_afresh()
        os.write(writer, b"served" if tier.hit("ws_1_a") or len(tier) else b"empty")
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 100) == b"empty"
    assert tier.hit("ws_1_a") is not None


def test_hits_are_handed_to_the_metrics_once(clock: FrozenClock) -> None:
    tier = memory(clock)
    keep(tier, clock, "ws_1_a")
    counter = metrics.READS.labels("memory", "hit")
    before = counter._value.get()

    for _ in range(100):
        tier.hit("ws_1_a")
    tier.drain_metrics()
    tier.drain_metrics()

    assert counter._value.get() - before == 100


def test_a_copy_from_the_future_is_not_served(clock: FrozenClock) -> None:
    tier = memory(clock)
    copy = Copy(snapshot(id="ws_1_a"), clock.now() + timedelta(seconds=30))

    tier.fill(copy, tier.read("ws_1_a").lease or "")

    assert tier.hit("ws_1_a") is None
    assert tier.peek("ws_1_a") is None


def test_r05_a_pause_while_a_copy_is_kept_does_not_make_it_younger(clock: FrozenClock) -> None:
    class Paused(FrozenClock):
        """The thread is stopped for 59 s whenever it has asked for the time."""

        def now(self) -> datetime:
            now = super().now()
            self.advance(seconds=59)
            return now

    paused = Paused()
    tier = memory(paused)
    copy = Copy(snapshot(id="ws_1_a"), FrozenClock.now(paused))
    tier.fill(copy, tier.read("ws_1_a").lease or "")

    paused.advance(seconds=2)

    assert tier.hit("ws_1_a") is None
