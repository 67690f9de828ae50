"""What the manager tells of its reads: to be compared later, and counted. Never raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from legacy_adapters.migration.stages.names import Stage


def note_read(
    endpoint: str,
    stage: Stage,
    session_id: str,
    *,
    seconds: float,
    failed: bool = False,
) -> None:
    """Note a read that was answered, or ``failed``; have it compared where the stage says so."""
