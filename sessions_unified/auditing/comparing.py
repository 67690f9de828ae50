"""Comparing what the tiers hold of some sessions now. Leaves no trace in any of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessions_unified.auditing.report import Divergence
from sessions_unified.conf import get_conf
from sessions_unified.health import differences
from sessions_unified.tiers import codec
from sessions_unified.tiers.rows import EVENTS, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    import redis

    from sessions_unified.tiers import Copy, Tiers

# ruff: noqa: S608  (our own table names; every value is a parameter)

_NO_EXPIRY: Final = -1
# Clocks may differ by this much without a copy living noticeably longer.
_SKEW: Final = timedelta(seconds=5)


class Suspect(NamedTuple):
    """A difference, and the exact thing that differs: the same later means that it stays."""

    divergence: Divergence
    evidence: object


class Row(NamedTuple):
    """What the database knows of a session without its fields."""

    version: int
    is_deleted: bool
    newest_seq: int | None


class Held(NamedTuple):
    """What Redis holds under a key: the value or an error, and its milliseconds left."""

    value: Any
    ttl_ms: int

    @property
    def is_lease(self) -> bool:
        """Whether a load is under way, and nothing is kept yet."""
        return isinstance(self.value, bytes) and self.value[:1] == codec.LEASE


class Comparison:
    """One look at some sessions in every tier.

    The caches are read before the database, so that whatever seems to be ahead of it is.

    Attributes:
        sessions: how many of them the database has, tombstones too.
        unknown: those of which no tier that was asked has anything.
        copies: how many copies the caches that were asked held.
        suspects: the differences.

    """

    def __init__(self, tiers: Tiers, ids: Sequence[str], *, in_redis: bool = True) -> None:
        self._now: datetime = tiers.clock.now()
        self._bound = timedelta(seconds=get_conf().STALENESS_BOUND_SECONDS)
        kept = {} if tiers.memory is None else tiers.memory.peek_many(ids)
        held = _in_redis(tiers, ids) if in_redis else {}
        self._truths = tiers.database.peek_many({*kept, *held}) if kept or held else {}
        self.copies = len(kept) + sum(not each.is_lease for each in held.values())
        rows = _rows(tiers, ids)
        self.sessions = len(rows)
        self.unknown = [each for each in ids if not (each in rows or each in kept or each in held)]
        self.suspects = [*self._of_redis(held), *self._of_memory(kept), *_of_log(rows)]

    def _of_redis(self, held: Mapping[str, Held]) -> Iterator[Suspect]:
        for session_id, each in held.items():
            copy = codec.decode(each.value) if isinstance(each.value, bytes) else None
            if codec.is_of_another_release(each.value):
                continue  # a miss here, a copy there: in a rolling deploy both are right
            if copy is None and not each.is_lease:
                yield self._suspect("unreadable", session_id, "redis", None, str(each.value))
            elif each.ttl_ms == _NO_EXPIRY:
                yield self._suspect("immortal", session_id, "redis", copy, each.value)
            elif copy is not None:
                yield from self._judge(session_id, "redis", copy)

    def _of_memory(self, kept: Mapping[str, Copy]) -> Iterator[Suspect]:
        for session_id, copy in kept.items():
            yield from self._judge(session_id, "memory", copy)

    def _judge(self, session_id: str, tier: str, copy: Copy) -> Iterator[Suspect]:
        kind, fields = self._verdict(session_id, copy)
        if kind is not None:
            yield self._suspect(kind, session_id, tier, copy, copy, fields)

    def _verdict(self, session_id: str, copy: Copy) -> tuple[str | None, tuple[str, ...]]:
        truth = self._truths.get(session_id)
        if copy.true_at > self._now + _SKEW:
            return "immortal", ()
        is_old = self._now - copy.true_at >= self._bound
        if is_old or copy.session.expires_at <= self._now:
            return None, ()  # served by nobody: past its end the row is asked
        if copy.session.id != session_id:
            return "differs", ("id",)
        if truth is None:
            return "orphan", ()
        if copy.session.version != truth.session.version:
            is_older = copy.session.version < truth.session.version
            return ("stale" if is_older else "ahead"), ()
        fields = differences(truth.session, copy.session)
        return ("differs" if fields else None), fields

    def _suspect(
        self,
        kind: str,
        session_id: str,
        tier: str,
        copy: Copy | None,
        evidence: object,
        fields: tuple[str, ...] = (),
    ) -> Suspect:
        truth = self._truths.get(session_id)
        divergence = Divergence(
            session_id=session_id,
            tier=tier,
            kind=kind,
            holds=None if copy is None else copy.session.version,
            truth=None if truth is None else truth.session.version,
            fields=fields,
        )
        return Suspect(divergence, evidence)


def _in_redis(tiers: Tiers, ids: Sequence[str]) -> dict[str, Held]:
    """Return what Redis holds, in one round trip."""
    if tiers.redis is None:
        return {}
    keys = [tiers.redis.key(session_id) for session_id in ids]

    def ask(client: redis.Redis) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(key)
            pipeline.pttl(key)
        return pipeline.execute(raise_on_error=False)

    answers = tiers.redis.call(ask)
    pairs = zip(ids, answers[::2], answers[1::2], strict=True)
    return {session_id: Held(value, ttl) for session_id, value, ttl in pairs if value is not None}


def _of_log(rows: Mapping[str, Row]) -> Iterator[Suspect]:
    """Find rows that were not changed together with their event."""
    for session_id, row in rows.items():
        # The events of old tombstones are dropped, all of them together.
        is_dropped = row.is_deleted and row.newest_seq is None
        if row.version != row.newest_seq and not is_dropped:
            divergence = Divergence(
                session_id=session_id,
                tier="database",
                kind="log",
                holds=row.version,
                truth=row.newest_seq,
            )
            yield Suspect(divergence, row)


def _rows(tiers: Tiers, ids: Sequence[str]) -> dict[str, Row]:
    sql = (
        "SELECT id, version, deleted_at IS NOT NULL, "
        f"(SELECT max(seq) FROM {EVENTS} AS e WHERE e.session_id = s.id) "
        f"FROM {SESSIONS} AS s WHERE id = ANY(%s)"
    )
    found = tiers.database.query(sql, [list(ids)])
    return {session_id: Row(*rest) for session_id, *rest in found}
