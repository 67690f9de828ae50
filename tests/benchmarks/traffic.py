"""Proof of which tier answered: what PostgreSQL and Redis themselves counted."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
import redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_SLACK: Final = 0.01
_FEW: Final = 5  # the clock's measurement, and our own flushes
_COMMANDS: Final = {
    "gets": ("get", "mget"),
    "scripts": ("eval", "evalsha"),
}


class WrongTierError(Exception):
    """What was timed was not what the row says: another tier answered."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one call costs the servers. None: not looked at.

    Attributes:
        gets: GETs of Redis, those of its scripts too.
        scripts: Lua scripts of Redis.
        transactions: of PostgreSQL, at least; 0: none at all.

    """

    gets: int | None = 0
    scripts: int | None = 0
    transactions: int | None = 0


class Traffic:
    """Reads both servers' own counters.

    Attributes:
        flush: makes each backend of ours hand its statistics over; called before each look.

    """

    def __init__(self, *, admin_url: str, database: str, redis_url: str) -> None:
        self._admin = psycopg.connect(admin_url, autocommit=True)
        self._database = database
        self._redis: Any = redis.Redis.from_url(redis_url)
        self.flush: list[Callable[[], object]] = []

    def expecting(self, expected: Expected) -> Callable[[int], AbstractContextManager[None]]:
        """Return a `measuring.Side.proof` for what each call should cost."""

        @contextmanager
        def proof(calls: int) -> Iterator[None]:
            before = self.counted()
            yield
            after = self.counted()
            check(expected, calls, {name: after[name] - before[name] for name in after})

        return proof

    def counted(self) -> dict[str, int]:
        """Return the counters."""
        for flush in self.flush:
            flush()
        found = self._redis.info("commandstats")
        counts = {
            name: sum(found.get(f"cmdstat_{each}", {"calls": 0})["calls"] for each in commands)
            for name, commands in _COMMANDS.items()
        }
        statement = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s"
        answer = self._admin.execute(statement, [self._database]).fetchone()
        assert answer is not None
        return counts | {"transactions": int(answer[0])}

    def close(self) -> None:
        """Close the connections."""
        self._admin.close()
        self._redis.close()


def check(expected: Expected, calls: int, counted: dict[str, int]) -> None:
    """Compare what the servers counted during ``calls`` calls.

    Raises:
        WrongTierError: it is not what was expected.

    """
    slack = calls * _SLACK + _FEW
    for name, got in counted.items():
        each = getattr(expected, name)
        if each is None:
            continue
        wanted = each * calls
        is_too_many = got > wanted + slack and not (wanted and name == "transactions")
        if is_too_many or got < wanted - slack:
            raise WrongTierError(f"{calls} calls cost {got} {name}; {wanted} were expected.")
