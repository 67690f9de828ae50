"""What an operator does: look, advance, go back, hold. Commands and the admin all come here."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from django.db import InterfaceError, OperationalError, connections

from legacy_adapters.migration.catching_up import UnsettledError
from legacy_adapters.migration.gates import fleet
from legacy_adapters.migration.gates.gate import Gate, GatesShutError
from legacy_adapters.migration.stages import store
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.moving import (
    MovingTimeoutError,
    OvertakenError,
    move,
    wait_for_writes,
)
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.stages.view import Place
from legacy_adapters.migration.steering.going_back import Log, go_back
from legacy_adapters.migration.steering.planning import MoveRefusedError, Plan, order_of, plan
from legacy_adapters.migration.steering.statuses import EndpointStatus, statuses
from legacy_adapters.models import EndpointStage, StageChange
from legacy_adapters.tables import atomic, rows
from sessions_unified.exceptions import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from sessions_unified.tiers import Tiers

__all__ = [
    "EndpointStatus",
    "Gate",
    "GatesShutError",
    "MoveRefusedError",
    "MovingTimeoutError",
    "OvertakenError",
    "Plan",
    "UnsettledError",
    "advance",
    "demote",
    "pause",
    "plan",
    "resume",
    "rollback",
    "statuses",
]

DEMOTION: Final = "demotion"
"""The actor of what moves by itself."""

MAX_REASON: Final = 450


def advance(
    tiers: Tiers,
    endpoint: Endpoint,
    *,
    stage: Stage | None = None,
    percent: float | Decimal | None = None,
    actor: str,
    reason: str,
) -> StageChange:
    """Bring an endpoint forward: to the next stage, or more sessions into the present one.

    Raises:
        GatesShutError: the gates do not let it through.
        MoveRefusedError: it is no move forward; or actor or reason are missing.
        OvertakenError: somebody else moved an endpoint meanwhile.
        MovingTimeoutError: writes were still under way after five seconds.
        DatabaseUnavailableError: the database failed; `plan` tells what came of it.

    """
    _require(actor, reason)
    answer = fleet.database(tiers)
    if not answer.is_open:
        raise GatesShutError([answer])
    wanted = plan(tiers, endpoint, stage=stage, percent=percent)
    if not wanted.is_forward:
        raise MoveRefusedError("That is a move back. Roll back instead.")
    if not wanted.is_allowed:
        raise GatesShutError(wanted.shut)
    with _moving(tiers), atomic():
        wait_for_writes(tiers.database.alias)
        if store.read(tiers.database).epoch != wanted.epoch:
            raise OvertakenError  # the gates were asked about what is no longer so
        return move(
            tiers,
            endpoint,
            wanted.after.stage,
            wanted.after.percent,
            actor=actor,
            reason=reason,
            gates=[each.to_json() for each in wanted.gates],
        )


def rollback(
    tiers: Tiers,
    endpoint: Endpoint,
    *,
    stage: Stage | None = None,
    percent: float | Decimal | None = None,
    actor: str,
    reason: str,
) -> StageChange:
    """Bring an endpoint back: to any stage before, or to fewer sessions; by default one stage.

    No gate is asked. Others that may not be further without it come back with it. From `complete`
    to before `live` this takes two moves, and waits between them until every process has heard of
    the first, and what was going on before is over: `PROCESS_TIMEOUT_SECONDS`, or twice that.

    Raises:
        MoveRefusedError: it is no move back; or actor or reason are missing.
        OvertakenError: somebody else has moved it meanwhile.
        UnsettledError: it is at `ramp_down`, and cannot go further yet.
        MovingTimeoutError: writes were still under way after five seconds.
        DatabaseUnavailableError: the database did not answer.

    """
    _require(actor, reason)
    with _moving(tiers):
        return go_back(tiers, endpoint, stage, percent, log=Log(actor=actor, reason=reason))


def demote(
    tiers: Tiers,
    endpoint: Endpoint,
    *,
    reason: str,
    if_at: Place | None = None,
    gates: Sequence[dict[str, Any]] = (),
) -> StageChange | None:
    """Bring an endpoint back to `shadow` by itself; None: it is there, or before, already.

    ``if_at``: only from there. ``gates`` are kept with it: what was wrong, as `Gate.to_json`.

    Raises:
        as `rollback`.

    """
    _require(DEMOTION, reason)
    with _moving(tiers):
        place = store.read(tiers.database).place(endpoint)
        if order_of(place) <= order_of(Place(stage=Stage.SHADOW)):
            return None
        if if_at is not None and place != if_at:
            raise OvertakenError
        log = Log(actor=DEMOTION, reason=reason, is_automatic=True, gates=tuple(gates))
        return go_back(tiers, endpoint, Stage.SHADOW, None, log=log)


def pause(tiers: Tiers, endpoint: Endpoint, *, actor: str, reason: str) -> StageChange:
    """Hold an endpoint where it is: it goes back, and not forward. In the history too.

    Raises:
        MoveRefusedError: actor or reason are missing.
        DatabaseUnavailableError: the database did not answer.

    """
    return _hold(tiers, endpoint, actor=actor, reason=reason, is_held=True)


def resume(tiers: Tiers, endpoint: Endpoint, *, actor: str, reason: str) -> StageChange:
    """Let an endpoint go forward again. In the history too.

    Raises:
        as `pause`.

    """
    return _hold(tiers, endpoint, actor=actor, reason=reason, is_held=False)


def _hold(
    tiers: Tiers, endpoint: Endpoint, *, actor: str, reason: str, is_held: bool
) -> StageChange:
    _require(actor, reason)
    with _moving(tiers), atomic():
        wait_for_writes(tiers.database.alias)
        place = store.read(tiers.database).place(endpoint)
        told = f"{'Paused' if is_held else 'Resumed'}: {reason}"
        change = move(tiers, endpoint, place.stage, place.percent, actor=actor, reason=told)
        rows(EndpointStage).filter(pk=endpoint).update(
            paused_at=change.at if is_held else None, pause_reason=reason if is_held else ""
        )
    return change


def _require(actor: str, reason: str) -> None:
    if not actor.strip():
        raise MoveRefusedError("Say who you are: every move is kept with its actor.")
    if not reason.strip():
        raise MoveRefusedError("Say why: every move is kept with its reason.")
    if len(reason) > MAX_REASON:
        raise MoveRefusedError(f"Say why in at most {MAX_REASON} characters.")


@contextmanager
def _moving(tiers: Tiers) -> Iterator[None]:
    """Say of a database that fails what callers know; and go by the new stages here at once."""
    try:
        yield
    except (OperationalError, InterfaceError) as exc:
        raise DatabaseUnavailableError from exc
    if not connections[tiers.database.alias].in_atomic_block:  # else it is not committed yet
        with suppress(DatabaseUnavailableError):
            STAGES.refresh(tiers)
