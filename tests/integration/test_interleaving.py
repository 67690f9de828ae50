"""Ten thousand scheduled steps in which every promise of `tests.interleaving` holds.

And fewer, in each of which one guard is missing and the world notices.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from django.db import IntegrityError

from sessions_unified.testing import FrozenClock
from tests.interleaving import HELD_BACK, SETTINGS, ViolationError, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType, ModuleType

    import redis
    from pytest_django.fixtures import SettingsWrapper

    from tests.managing import MakeTiers

    MakeWorld = Callable[..., World]


class Guard(NamedTuple):
    """One guard: what it says, where it stands, and what stands for its text when it is removed."""

    name: str
    where: str
    removal: dict[str, str]
    conditions: dict[str, float] = {}
    late: tuple[str, ...] = ()
    seed: int = 1  # another where that one takes its time

    def remove(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run without it; fail if its text isn't there exactly once (any more)."""
        module_name, _, path = self.where.partition(":")
        module = owner = import_module(f"sessions_unified.{module_name}")
        *outer, last = path.split(".")
        for name in outer:
            owner = getattr(owner, name)
        present = getattr(owner, last)
        is_text = isinstance(present, str)
        source = present if is_text else textwrap.dedent(inspect.getsource(present))
        for text, instead in self.removal.items():
            assert source.count(text) == 1, f"{self.where} does not say {text!r} once"
            source = source.replace(text, instead)
        if is_text:
            monkeypatch.setattr(owner, last, source)
            return
        made = _function(module, last, source)
        if hasattr(present, "cache_clear"):
            monkeypatch.setattr(owner, last, made)
        else:  # whoever has imported the function runs the other code too
            monkeypatch.setattr(present, "__code__", made.__code__)


def _function(module: ModuleType, name: str, source: str) -> FunctionType:
    # In a class, so that `super()` compiles to what it was.
    text = f"from __future__ import annotations\nclass Made:\n{textwrap.indent(source, '    ')}"
    made: dict[str, Any] = {}
    exec(compile(text, module.__name__, "exec"), module.__dict__, made)
    return inspect.unwrap(getattr(made["Made"], name))


FILL, PUT = "tiers.scripts:FILL", "tiers.scripts:PUT"
REDIS, MEMORY = "tiers.redis:RedisTier", "tiers.memory:MemoryTier"
DATABASE, READER = "tiers.database", "reading:TieredReader"
LEASE_ENDS = {"self._leases.pop(session_id, None)": "pass"}

# What makes a race likely: each guard names a world in which it is missed soon, and what must be
# late there.
STALLS = {
    **dict.fromkeys(
        ("fault", "advance", "cut", "silence", "evict", "flush", "clear", "drop", "hold"), 0
    ),
    "hold back": 0.7,
    "haste": 0.8,
    "writes": 1,
    "events": 0.1,
    "bypass": 0,
    "deliver": 1,
}
RACES_IN_L2 = STALLS | {"bypass": 1, "evict": 1}
RACES_IN_L1 = STALLS | {"clear": 0.3}
LATE_NEWS = STALLS | {"deliver": 0.1}
CUTS = STALLS | {"cut": 1, "pause": 40}
SILENCE = STALLS | {"cut": 0.2, "silence": 1, "hold back": 0}
CALM = {"pause": 300, "deletes": 0.02, "old": 0.02}
DELETES = {"deletes": 0.3, "old": 0.3}
AGEING = STALLS | {"advance": 3, "writes": 0.1, "events": 0.35, "drop": 0.5, "hold back": 0}

GUARDS = [
    # L2
    Guard(
        "an L2 fill needs the lease",
        FILL,
        {"if redis.call('GET', KEYS[1]) ~= 'L' .. ARGV[1] then return 0 end": ""},
        RACES_IN_L2,
        ("L2 fill",),
    ),
    Guard(
        "an L2 lease is random",
        f"{REDIS}._read_or_lease",
        {"secrets.token_hex(16)": "'x'"},
        RACES_IN_L2,
        ("L2 fill",),
    ),
    Guard(
        "an L2 put replaces only an older copy",
        PUT,
        {"elseif tonumber(string.sub(held, 2, 17)) < tonumber(ARGV[2]) then": "else"},
        RACES_IN_L2,
        ("L2 put",),
    ),
    Guard(
        "an L2 put never creates",
        PUT,
        {
            "if held then": "if not held then "
            "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) else"
        },
        RACES_IN_L2,
        ("L2 put",),
    ),
    Guard(
        "an L2 put ends a lease rather than fill it",
        PUT,
        {"redis.call('DEL', KEYS[1])": "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])"},
        RACES_IN_L2,
        ("L2 put",),
    ),
    Guard(
        "an L2 put ends a lease", PUT, {"redis.call('DEL', KEYS[1])": ""}, RACES_IN_L2, ("L2 fill",)
    ),
    Guard(
        "an L2 put tells the other processes", PUT, {"redis.call('PUBLISH', ARGV[4], ARGV[5])": ""}
    ),
    Guard(
        "an L2 delete ends a lease",
        f"{REDIS}.delete_many",
        {
            "pipeline.delete(self.key(session_id))": "held = client.get(self.key(session_id))\n"
            "            if held and held[:1] == b'C': pipeline.delete(self.key(session_id))"
        },
        RACES_IN_L2 | DELETES,
        ("L2 fill",),
    ),
    Guard(
        "an L2 delete drops the copy",
        f"{REDIS}.delete_many",
        {"pipeline.delete(self.key(session_id))": "pass"},
        RACES_IN_L2 | DELETES,
    ),
    Guard(
        "an L2 delete tells the other processes",
        f"{REDIS}.delete_many",
        {'pipeline.publish(self.channel, f"{session_id} {version}")': "pass"},
        RACES_IN_L1 | DELETES,
    ),
    Guard(
        "L2 answers nothing past the bound",
        f"{REDIS}._fresh",
        {" and is_young(copy, now, self._bound)": ""},
        AGEING,
    ),
    # L1
    Guard(
        "an L1 fill needs the lease",
        f"{MEMORY}.fill",
        {
            "kept = self._leases.get(session_id) == lease": "kept = True",
            "del self._leases[session_id]": "self._leases.pop(session_id, None)",
        },
        RACES_IN_L1,
        ("L1 fill",),
    ),
    Guard(
        "an L1 lease is random",
        f"{MEMORY}.read",
        {"secrets.token_hex(8)": "'x'"},
        RACES_IN_L1,
        ("L1 fill",),
    ),
    Guard(
        "an L1 put ends a lease",
        f"{MEMORY}.put",
        LEASE_ENDS,
        RACES_IN_L1 | {"deliver": 0.1},
        ("L1 fill",),
    ),
    Guard(
        "an L1 put replaces only an older copy",
        f"{MEMORY}.put",
        {" and held.session.version < copy.session.version": ""},
        RACES_IN_L1,
        ("L1 put",),
    ),
    Guard(
        "an L1 put never creates",
        f"{MEMORY}.put",
        {
            "held is not None and held.session.version <": "held is None or held.session.version <",
        },
        RACES_IN_L1,
        ("L1 put",),
    ),
    Guard(
        "an L1 delete ends a lease",
        f"{MEMORY}.delete",
        LEASE_ENDS,
        LATE_NEWS | DELETES | {"clear": 0.3},
        ("L1 fill",),
        seed=2,
    ),
    Guard(
        "an L1 delete drops the copy",
        f"{MEMORY}.delete",
        {"self._drop(session_id)": "pass"},
        LATE_NEWS | DELETES,
    ),
    Guard(
        "an invalidation ends a lease",
        f"{MEMORY}.invalidate",
        LEASE_ENDS,
        RACES_IN_L1 | {"deliver": 10},
        ("L1 fill",),
    ),
    Guard(
        "an invalidation drops the copy",
        f"{MEMORY}.invalidate",
        {"self._drop(session_id)": "pass"},
        RACES_IN_L1,
    ),
    Guard(
        "L1 answers nothing past the bound",
        f"{MEMORY}.hit",
        {"now >= entry.until or now >= self.live_until": "now >= self.live_until"},
        AGEING,
    ),
    Guard(
        "L1 answers nothing past the bound when asked for many",
        f"{MEMORY}.peek",
        {" or not is_young(entry.copy, self._clock.now(), self._bound)": ""},
        AGEING,
    ),
    Guard(
        "the age of a copy travels with it into L1",
        f"{MEMORY}._entry",
        {"age = max(now - copy.true_at, timedelta())": "age = timedelta()"},
        AGEING,
    ),
    # The channel
    Guard(
        "L1 answers nothing for many while it is cut off",
        f"{MEMORY}.peek_many",
        {" if self.is_live else {}": " if __class__ else {}"},
        SILENCE,
    ),
    Guard(
        "a gap empties L1",
        "tiers.channel:InvalidationChannel._gap",
        {"self._memory.clear()": ""},
        CUTS,
    ),
    Guard("a gap drops the copies", f"{MEMORY}.clear", {"self._entries.clear()": "pass"}, CUTS),
    Guard(
        "a gap ends the leases",
        f"{MEMORY}.clear",
        {"self._leases.clear()": "pass"},
        CUTS,
        ("L1 fill",),
    ),
    Guard(
        "L1 answers nothing while it is cut off",
        f"{MEMORY}.hit",
        {"now >= entry.until or now >= self.live_until": "now >= entry.until"},
        SILENCE,
    ),
    Guard(
        "L1 keeps nothing while it is cut off",
        f"{MEMORY}.fill",
        {"kept = self.is_live": "pass"},
        SILENCE | {"cut": 1},
        ("L1 fill",),
    ),
    # L3
    Guard(
        "a write compares the version",
        f"{DATABASE}:_update_sql",
        {"AND version = %s AND": "AND %s IS NOT NULL AND"},
    ),
    Guard("a read finds no tombstone", f"{DATABASE}:_SELECT", {" AND deleted_at IS NULL": ""}),
    Guard(
        "a read of many finds no tombstone",
        f"{DATABASE}:_SELECT_MANY",
        {" AND deleted_at IS NULL": ""},
    ),
    Guard("a lock finds no tombstone", f"{DATABASE}:_SELECT_ROW", {" AND deleted_at IS NULL": ""}),
    Guard(
        "a tombstone keeps its id",
        f"{DATABASE}:_INSERT",
        {
            "DO NOTHING": "DO UPDATE SET deleted_at = NULL, "
            "version = sessions_unified_unifiedsession.version + 1"
        },
    ),
    Guard(
        "a tombstone is a version of its own",
        f"{DATABASE}:DatabaseTier.tombstone",
        {"version = version + 1": "version = version"},
    ),
    Guard(
        "the time of a copy is read before the row",
        f"{DATABASE}:DatabaseTier.peek",
        {
            "return Copy(": "self.dawdle()\n    true_at = self._clock.now()\n    return Copy(",
        },
        {"advance": 3, "events": 0.35},
    ),
    # Above them
    Guard(
        "a refused L2 fill is a put",
        f"{READER}._read_through",
        {"redis.put(copy)": "pass"},
        RACES_IN_L2 | {"haste": 0.5, "hold back": 1, "delay": 150, "events": 0.2} | CALM,
        ("L2 put",),
    ),
    Guard(
        "a refused L1 fill is a put",
        f"{READER}._loaded",
        {"memory.put(loaded.copy)": "pass"},
        LATE_NEWS | CALM | {"clear": 0.3, "haste": 0.5},
        ("L2 read",),
    ),
    Guard(
        "a write ends the loads before it",
        f"{READER}._loaded",
        {"flights.do(lease, load)": "flights.do(session_id, load)"},
        RACES_IN_L1,
        ("L1 fill",),
    ),
    Guard(
        "in a transaction no cache is filled",
        f"{READER}._copy",
        {"fresh or self.in_transaction()": "fresh"},
    ),
    Guard(
        "a conflict is judged by the row",
        "manager:UnifiedSessionManager.update_session",
        {"if is_fresh:\n                raise": "raise"},
        LATE_NEWS,
    ),
    Guard(
        "caches are told after the commit",
        "manager:UnifiedSessionManager._on_commit",
        {"if self._thread.connection.in_atomic_block:": "if False:"},
    ),
    Guard(
        "Redis is told before L1",
        "publishing:publish_copy",
        {
            "tiers.redis.put(copy)": "tiers.memory.put(copy); tiers.redis.put(copy)",
            "if tiers.memory is not None:\n            tiers.memory.put(copy)": "pass",
        },
        LATE_NEWS,
        ("L2 put",),
    ),
    Guard(
        "L1 is told of a write",
        "publishing:publish_copy",
        {"tiers.memory.put(copy)": "pass"},
        RACES_IN_L1,
    ),
    Guard(
        "L1 is told of a delete",
        "publishing:publish_gone",
        {"tiers.memory.delete(session_id, version)": "pass"},
        LATE_NEWS | DELETES,
    ),
]


@pytest.fixture
def make_world(
    make_tiers: MakeTiers,
    redis_client: redis.Redis,
    settings: SettingsWrapper,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeWorld:
    """Return a function from a seed to a world."""
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | SETTINGS

    def make(
        seed: int, conditions: dict[str, float] | None = None, late: tuple[str, ...] = HELD_BACK
    ) -> World:
        clock = FrozenClock()
        return World(
            seed,
            tiers=[make_tiers(clock=clock) for _ in range(2)],
            clock=clock,
            client=redis_client,
            monkeypatch=monkeypatch,
            conditions=conditions,
            late=late,
        )

    return make


def test_nothing_goes_wrong_in_ten_thousand_steps(make_world: MakeWorld) -> None:
    make_world(1).run(10_000)


def test_a_seed_stands_for_one_run(make_world: MakeWorld) -> None:
    first, second = make_world(2), make_world(2)

    first.run(1_000)
    second.run(1_000)

    # Tokens of leases and ids are random; what happens is not.
    random = re.compile(r"\b(lease )?[0-9a-f]{4,}\b|ws_\w+")
    traces = [[random.sub("", line) for line in each.scheduler.trace] for each in (first, second)]
    assert traces[0] == traces[1]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 102))
def test_nothing_goes_wrong_under_a_hundred_seeds(seed: int, make_world: MakeWorld) -> None:
    make_world(seed).run(20_000)


@pytest.mark.parametrize("guard", GUARDS, ids=[guard.name for guard in GUARDS])
def test_without_one_guard_something_goes_wrong(
    guard: Guard, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard.remove(monkeypatch)

    with pytest.raises(ViolationError) as violation:
        make_world(guard.seed, guard.conditions, guard.late).run(40_000)

    assert isinstance(violation.value.__cause__, ViolationError | IntegrityError)
