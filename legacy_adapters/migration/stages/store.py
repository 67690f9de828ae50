"""The stages in the database: read as they are, and held still while a write relies on them.

One advisory lock guards them. Whoever writes a session holds it shared until its commit; a stage
change takes it for itself. So no write of an older stage is still under way once a change is
committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import connections

from legacy_adapters.migration.stages.names import Endpoint, Side, Stage
from legacy_adapters.migration.stages.view import Place, StageView

if TYPE_CHECKING:
    from sessions_unified.tiers.database import DatabaseTier

_LOCK: Final = 7_305_517_264
_STAGES: Final = (
    "SELECT (SELECT COALESCE(max(id), 0) FROM legacy_adapters_stagechange), endpoint, stage, "
    "percent FROM (SELECT 1) AS one LEFT JOIN legacy_adapters_endpointstage ON true"
)
_STRAYS: Final = (
    "SELECT EXISTS(SELECT 1 FROM legacy_adapters_writemark WHERE side = 'legacy' AND bucket < %s), "
    "EXISTS(SELECT 1 FROM legacy_adapters_writemark WHERE side = 'unified' AND bucket >= %s)"
)


def read(database: DatabaseTier) -> StageView:
    """Return the stages as they are committed, with what was left from before a move.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    view = _stages(database)
    cut = view.unified_buckets
    ((legacy, unified),) = database.fetch(_STRAYS, [cut, cut])
    found = {Side.LEGACY: legacy, Side.UNIFIED: unified}
    strays = frozenset(side for side, is_there in found.items() if is_there)
    return StageView(epoch=view.epoch, places=view.places, strays=strays)


def share(database: DatabaseTier) -> StageView:
    """Hold the stages still until the transaction ends, and return them, without strays.

    Two statements: one that waits for the lock has chosen before what it sees.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    database.fetch("SELECT pg_advisory_xact_lock_shared(%s)", [_LOCK])
    return _stages(database)


def lock(alias: str) -> None:
    """Keep every write out until the transaction ends: for a stage change.

    Raises:
        OperationalError: writes of before are still under way after the ``lock_timeout``.

    """
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _stages(database: DatabaseTier) -> StageView:
    found = database.fetch(_STAGES, [])
    places = {
        Endpoint(endpoint): Place(stage=Stage(stage), percent=percent)
        for _, endpoint, stage, percent in found
        if endpoint in _NAMES
    }
    return StageView(epoch=int(found[0][0]), places=places)


_NAMES: Final = frozenset(Endpoint.values)
