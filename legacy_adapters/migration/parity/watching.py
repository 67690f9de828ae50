"""What the manager tells of its reads: to be compared later, and counted. Never raises."""

from __future__ import annotations

import logging
from typing import Final

from legacy_adapters.migration.parity.pool import get_pool
from legacy_adapters.migration.parity.tallies import Where, counts
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.names import Stage

logger = logging.getLogger(__name__)

_WATCHED: Final = frozenset({Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN})


def note_read(
    endpoint: str,
    stage: Stage,
    session_id: str,
    *,
    seconds: float,
    failed: bool = False,
) -> None:
    """Note a read that was answered, or ``failed``; have it compared where the stage says so.

    Microseconds, and nothing that waits: the caller is a shopper's request.
    """
    if stage not in _WATCHED:
        return
    try:
        if counts(endpoint):
            view = STAGES._view  # noqa: SLF001  (as it is: looking it up may ask the database)
            where = Where(endpoint, stage, 0 if view is None else view.epoch)
            get_pool().note(where, session_id, seconds, failed=failed)
    except Exception:  # whatever it is, the shopper has been answered
        logger.exception("A read could not be noted")
