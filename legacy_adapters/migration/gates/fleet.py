"""Whether the ground is firm: our database answers, every process has seen where things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.migration import fleet as processes
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.gates.gate import Gate
from sessions_unified.exceptions import DatabaseUnavailableError

if TYPE_CHECKING:
    from legacy_adapters.migration.gates.gate import Move
    from sessions_unified.tiers import Tiers


def database(tiers: Tiers) -> Gate:
    """Our database answers: nothing moves while it does not."""
    try:
        tiers.database.ping()
    except DatabaseUnavailableError:
        reason = "The database of the sessions does not answer; it must before anything is moved."
        return Gate(name="database", is_open=False, reason=reason)
    return Gate(name="database", is_open=True, reason="The database of the sessions answers.")


def fleet(move: Move) -> Gate:
    """All living processes have seen the stages as they are now."""
    living = len(processes.processes(move.tiers))
    behind = processes.lagging(move.tiers)
    figure, needs = f"{living - len(behind)} of {living}", f"{living} of {living}"
    if not behind:
        reason = f"All living processes ({living}) have seen the present stages."
        return Gate(name="fleet", is_open=True, reason=reason, figure=figure, needs=needs)
    names = "; ".join(map(str, behind[:5])) + ("; …" if len(behind) > 5 else "")  # noqa: PLR2004
    reason = (
        f"{len(behind)} of {living} processes have not seen the present stages: {names}. Wait for "
        f"them, or stop them: {get_conf().PROCESS_TIMEOUT_SECONDS:g} s later they do not count."
    )
    return Gate(name="fleet", is_open=False, reason=reason, figure=figure, needs=needs)
