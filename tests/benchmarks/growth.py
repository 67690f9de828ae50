"""Whether it stays as fast when the tables grow: the newest sessions of a large database."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Final

import psycopg
from django.core.management import call_command
from django.db import connections

from tests.benchmarks import loading
from tests.benchmarks.measuring import Side
from tests.benchmarks.rows import row
from tests.benchmarks.traffic import WrongTierError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessions_unified.manager import UnifiedSessionManager
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.measuring import Measured, Operation

NEWEST: Final = 10_000
_BATCH: Final = 1_000_000
_TARGET: Final = 1.2
_changes = itertools.count(1)

_row = partial(row, baseline="the same of 10⁴ sessions", target=_TARGET, is_long=True)
_OF_WHICH: Final = "(L1 and L2 off) of the newest 10⁴ of 10⁷ sessions"


@_row(operation=f"get and update {_OF_WHICH}")
def growth(bench: Bench) -> Measured:
    def call(manager: UnifiedSessionManager) -> Operation:
        read, write = _get(manager), _update(manager)

        def both(key: str) -> None:
            read(key)
            write(key)

        return both

    return _compared(bench, call)


@_row(operation=f"get {_OF_WHICH}")
def growth_get(bench: Bench) -> Measured:
    return _compared(bench, _get)


@_row(operation=f"update {_OF_WHICH}")
def growth_update(bench: Bench) -> Measured:
    return _compared(bench, _update)


def _get(manager: UnifiedSessionManager) -> Operation:
    return manager.get_session


def _update(manager: UnifiedSessionManager) -> Operation:
    return lambda key: manager.update_session(key, {"metadata": {"visits": next(_changes)}})


def _compared(bench: Bench, call: Callable[[UnifiedSessionManager], Operation]) -> Measured:
    large, small = (_side(bench, alias, call) for alias in ("big", "default"))
    return bench.compare(large, small)


def _side(bench: Bench, alias: str, call: Callable[[UnifiedSessionManager], Operation]) -> Side:
    size = bench.growth_rows if alias == "big" else NEWEST
    url = bench.servers.big_database_url if alias == "big" else bench.servers.database_url
    keys = _loaded(url, alias, size)
    tiers = bench.tiers(DATABASE_ALIAS=alias, L1_ENABLED=False, CACHE_ALIAS="locmem")

    def prepare(_: object) -> None:
        if connections[alias].settings_dict["NAME"] not in url:
            raise WrongTierError(f"The database {alias!r} is another one.")

    from sessions_unified.manager import UnifiedSessionManager

    return Side(start=lambda: call(UnifiedSessionManager(tiers=tiers)), keys=keys, prepare=prepare)


def _loaded(url: str, alias: str, number: int) -> list[str]:
    """Return the newest ids of a database with so many sessions; loaded unless it has them."""
    call_command("migrate", database=alias, verbosity=0)
    with psycopg.connect(url, autocommit=True) as connection:
        if loading.count(connection, "TRUE") != number:
            loading.truncate(connection)
            loading.load_fast(connection, number, batch=_BATCH)
        return loading.newest(connection, NEWEST)
