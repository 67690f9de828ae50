"""What was written at `complete`, in our own database alone: marked, once legacy is written again.

Beside the endpoint's own writes, those of processes which have not heard of the move yet: the plain
manager, which runs while every endpoint is at `complete`, asks no stage.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Max, Min

from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.migration import fleet, marks
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.moving import SLACK
from legacy_adapters.migration.stages.names import Side, Stage
from legacy_adapters.models import EndpointStage
from legacy_adapters.tables import rows
from sessions_unified.tiers.rows import SESSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.tiers import Tiers

_BATCH: Final = 5_000
_POLL_SECONDS: Final = 0.1
_CHANGED: Final = (
    f"SELECT id FROM {SESSIONS} WHERE updated_at >= %s AND id > %s ORDER BY id LIMIT %s"  # noqa: S608
)
_CHANGED_ALL: Final = f"SELECT id FROM {SESSIONS} WHERE updated_at >= %s"  # noqa: S608


class UnsettledError(LegacyAdaptersError):
    """Some processes still write as at `complete`. Stop them, or wait, and ask again."""


def catching_up(tiers: Tiers) -> int:
    """Mark what was written at `complete` since the last look; return how many sessions were read.

    For the task that repairs: until every process has heard that an endpoint came back from there.
    Safe to repeat, and one small look when nothing is to be done.

    Raises:
        DatabaseUnavailableError: the database did not answer.

    """
    with tiers.database.transaction():
        since = _owed().aggregate(since=Min("unmarked_since"))["since"]
    if since is None:
        return 0
    is_over, began = is_settled(tiers), tiers.clock.now()
    number = mark_changed(tiers, since)
    with tiers.database.transaction():
        owed = _owed().filter(unmarked_since__lte=began)
        owed.update(unmarked_since=None if is_over else began - SLACK)
    return number


def unmarked_since() -> datetime | None:
    """Return since when sessions may have been written without a mark; None: none have."""
    since: datetime | None = rows(EndpointStage).aggregate(since=Min("unmarked_since"))["since"]
    return since


def mark_changed(tiers: Tiers, since: datetime) -> int:
    """Mark every session that was changed or deleted since then, batch by batch."""
    last, number = "", 0
    while True:
        found = [each for (each,) in tiers.database.query(_CHANGED, [since, last, _BATCH])]
        _mark(tiers, found, store.read(tiers.database))
        number += len(found)
        if len(found) < _BATCH:
            return number
        last = found[-1]


def mark_rest(tiers: Tiers, since: datetime, view: StageView) -> None:
    """Mark the same at one go, while writes are kept out: what came since the batches.

    ``view`` is the stages before the move.
    """
    _mark(tiers, [each for (each,) in tiers.database.query(_CHANGED_ALL, [since])], view)


def _mark(tiers: Tiers, session_ids: Sequence[str], view: StageView) -> None:
    """Mark those that were written to our side first; of the others legacy has the say."""
    ours = [each for each in session_ids if view.first_side(each) is Side.UNIFIED]
    marks.put_many(tiers.database, ours, Side.UNIFIED, tiers.clock.now())


def is_settled(tiers: Tiers) -> bool:
    """Tell whether nobody writes as at `complete` any more.

    All living processes have seen the present stages, and requests that had begun before are over.
    """
    if not fleet.processes(tiers):
        return True  # nobody keeps what it has seen
    if fleet.lagging(tiers):
        return False
    came_back = _owed().aggregate(at=Max("changed_at"))["at"]
    return came_back is None or tiers.clock.now() - came_back >= _grace()


def settle(tiers: Tiers) -> None:
    """Wait until nobody writes as at `complete` any more.

    Raises:
        UnsettledError: somebody still does; the message names them.

    """
    deadline = time.monotonic() + 2 * _grace().total_seconds()
    while not is_settled(tiers):
        if time.monotonic() > deadline:
            names = "; ".join(map(str, fleet.lagging(tiers))) or "requests of before"
            raise UnsettledError(
                f"It is at ramp_down now, and goes no further: some still write as at complete "
                f"({names}). Stop them, or wait, and roll back again."
            )
        time.sleep(_POLL_SECONDS)


def _owed() -> QuerySet[EndpointStage]:
    """Return the endpoints that came back from `complete`, and are not made up for."""
    return rows(EndpointStage).filter(unmarked_since__isnull=False).exclude(stage=Stage.COMPLETE)


def _grace() -> timedelta:
    return timedelta(seconds=get_conf().PROCESS_TIMEOUT_SECONDS)
