"""Which sessions an audit looks at, in batches of one round trip each."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from sessions_unified.tiers.rows import EVENTS, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessions_unified.tiers import Tiers

# ruff: noqa: S608  (our own table names; every value is a parameter)

BATCH_SIZE: Final = 200
_DRAWN_FROM: Final = 20


def given(ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield these, each once."""
    left = iter(dict.fromkeys(ids))
    while batch := list(islice(left, BATCH_SIZE)):
        yield batch


def sampled(tiers: Tiers, number: int) -> Iterator[list[str]]:
    """Yield about as many sessions, and as many that Redis holds something of.

    Half of the sessions are those that changed last: what is not cached cannot diverge.
    """
    recent = tiers.database.query(
        f"SELECT e.session_id FROM {EVENTS} AS e ORDER BY e.xid DESC, position DESC LIMIT %s",
        [number // 2],
    )
    # Whole pages at random, of them rows at random: of a few pages too few would be drawn.
    percent = min(100.0, 100 * _DRAWN_FROM * number / max(estimate(tiers), 1))
    others = tiers.database.query(
        f"SELECT id FROM {SESSIONS} TABLESAMPLE SYSTEM (%s) ORDER BY random() LIMIT %s",
        [percent, number - number // 2],
    )
    held = islice(chain.from_iterable(cached(tiers)), number)
    yield from given(chain((each for (each,) in chain(recent, others)), held))


def stored(tiers: Tiers) -> Iterator[list[str]]:
    """Yield the ids of all rows, tombstones' too."""
    last = ""
    while rows := tiers.database.query(
        f"SELECT id FROM {SESSIONS} WHERE id > %s ORDER BY id LIMIT %s",
        [last, BATCH_SIZE],
    ):
        batch = [session_id for (session_id,) in rows]
        last = batch[-1]
        yield batch


def estimate(tiers: Tiers) -> int:
    """Return about how many rows there are, without counting them."""
    ((number,),) = tiers.database.query(
        "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [SESSIONS]
    )
    return int(max(0, number))


def cached(tiers: Tiers) -> Iterator[list[str]]:
    """Yield the ids that Redis has a key for, a page of its keys at a time; some perhaps twice."""
    if tiers.redis is None:
        return
    begin, _, end = tiers.redis.key("\0").partition("\0")
    cursor: Any = 0
    while True:
        cursor, keys = tiers.redis.call(_scan(cursor, tiers.redis.key("*")))
        names = (key.decode(errors="replace") for key in keys)
        ids = (name[len(begin) :].removesuffix(end) for name in names if name.endswith(end))
        # Keys of other kinds may begin like ours: su:{id}:something. PostgreSQL has no NUL.
        yield [each for each in ids if end not in each and "\0" not in each]
        if not int(cursor):
            return


def _scan(cursor: Any, pattern: str) -> Any:
    return lambda client: client.scan(cursor, match=pattern, count=BATCH_SIZE)
