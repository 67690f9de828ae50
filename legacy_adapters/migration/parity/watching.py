"""What the manager tells of reads and writes: to be compared later, and counted. Never raises."""

from __future__ import annotations

import logging
from typing import Final

from legacy_adapters.migration.parity.pool import get_pool
from legacy_adapters.migration.parity.tallies import Where, is_endpoint
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
        if is_endpoint(endpoint):
            get_pool().note(_where(endpoint, stage), session_id, seconds, failed=failed)
    except Exception:  # whatever it is, the shopper has been answered
        logger.exception("A read could not be noted")


def note_write(endpoint: str, stage: Stage, session_id: str) -> None:
    """Have a session that was written compared, as one that was read: some endpoints only write.

    Call it after the commit, on the same terms as `note_read`.
    """
    if stage not in _WATCHED:
        return
    try:
        if is_endpoint(endpoint):
            get_pool().offer(_where(endpoint, stage), session_id)
    except Exception:  # what was written is written
        logger.exception("A write could not be noted")


def _where(endpoint: str, stage: Stage) -> Where:
    return Where(endpoint, stage, STAGES.epoch)
