"""Marks repaired in the background: claimed in batches, retried ever later, at last left to people.

A claim is a mark whose turn is put off by a lease. Whoever dies with it loses nothing: the mark is
there, and due again when the lease is over. What a worker does not come to it gives back.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import InterfaceError, OperationalError

from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.migration import marks
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.stages.names import Side
from sessions_unified.exceptions import SessionHeldError, TierUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sessions_unified.tiers import Tiers

logger = logging.getLogger(__name__)

LEASE_SECONDS: Final = 30
"""How long a claimed mark is left alone by other workers; repeating a repair is harmless."""

_BATCH: Final = 20
_LONGEST_WAIT_SECONDS: Final = 600
# So many sessions in a row that a side did not answer for: the rest would not fare better now.
_ENOUGH: Final = 3
_OUTAGES: Final = (TierUnavailableError, OperationalError, InterfaceError)
# Their messages name no value of a session.
_TELLING: Final = (LegacyAdaptersError, TierUnavailableError, SessionHeldError)

_CLAIM: Final = (
    f"UPDATE {marks.TABLE} AS mark SET due_at = %s FROM "  # noqa: S608  (every value is a parameter)
    f"(SELECT session_id FROM {marks.TABLE} WHERE NOT is_dead AND due_at <= %s "
    "ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED) AS due "
    "WHERE mark.session_id = due.session_id "
    "RETURNING mark.session_id, mark.generation, mark.attempts"
)
_FAIL: Final = (
    f"UPDATE {marks.TABLE} SET due_at = %s, attempts = %s, problem = %s, is_dead = %s "  # noqa: S608
    "WHERE session_id = %s AND generation = %s RETURNING 1"
)
_GIVE_BACK: Final = (
    f"UPDATE {marks.TABLE} SET due_at = %s "  # noqa: S608
    "WHERE session_id = ANY(%s) AND due_at = %s RETURNING 1"
)
_AGAIN: Final = (
    f"UPDATE {marks.TABLE} SET due_at = %s, attempts = 0, problem = '', is_dead = false "  # noqa: S608
    "WHERE session_id = ANY(%s) RETURNING 1"
)
_COUNT: Final = (
    "SELECT side, count(*) FILTER (WHERE NOT is_dead), count(*) FILTER (WHERE is_dead), "  # noqa: S608
    f"min(marked_at) FROM {marks.TABLE} GROUP BY side"
)
_ANY_DUE: Final = f"SELECT EXISTS(SELECT 1 FROM {marks.TABLE} WHERE NOT is_dead AND due_at <= %s)"  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What waits for its repair.

    Attributes:
        waiting: marks that a worker will come to.
        dead: marks that wait for a person.
        oldest_at: when the oldest of both was made; None: there is none.
        by_side: the side that holds the newer state → marks of both kinds.

    """

    waiting: int
    dead: int
    oldest_at: datetime | None
    by_side: Mapping[Side, int]


@dataclass(frozen=True, kw_only=True)
class _Claim:
    session_id: str
    generation: int
    attempts: int
    lease_until: datetime


def repair_due(
    tiers: Tiers,
    *,
    limit: int | None = None,
    seconds: float | None = None,
    chance: Callable[[], float] = random.random,
) -> int:
    """Repair sessions whose turn has come, until none is left; return how many were.

    At most ``limit``, for about ``seconds``. One that fails is tried again later, twice as late
    each time, and after `REPAIR_MAX_ATTEMPTS` waits for a person; while a side does not answer, it
    is tried for ever. ``chance`` (0 to 1) spreads the waits.

    Raises:
        DatabaseUnavailableError: our own database did not answer.

    """
    ends_at = None if seconds is None else time.monotonic() + seconds
    done = taken = outages = 0
    while claims := _claim(tiers, _BATCH if limit is None else min(_BATCH, limit - taken)):
        taken += len(claims)
        while claims:
            if outages >= _ENOUGH or (ends_at is not None and time.monotonic() >= ends_at):
                _give_back(tiers, claims)
                return done
            claim = claims.pop(0)
            try:
                done += repair(tiers, claim.session_id)
                outages = 0
            except Exception as exc:  # noqa: BLE001  (it is noted, and tried again)
                _note(tiers, claim, exc, chance())
                outages = outages + 1 if isinstance(exc, _OUTAGES) else 0
    return done


def is_due(tiers: Tiers) -> bool:
    """Tell whether any session's turn has come."""
    ((found,),) = tiers.database.fetch(_ANY_DUE, [tiers.clock.now()])
    return bool(found)


def again(tiers: Tiers, session_ids: Collection[str]) -> int:
    """Have these sessions repaired at once, as if for the first time; return how many are marked.

    For a person: dead letters, and others that wait.
    """
    return len(tiers.database.fetch(_AGAIN, [tiers.clock.now(), sorted(session_ids)]))


def backlog(tiers: Tiers) -> Backlog:
    """Return what waits."""
    found = [(Side(side), *rest) for side, *rest in tiers.database.fetch(_COUNT, [])]
    return Backlog(
        waiting=sum(waiting for _, waiting, _, _ in found),
        dead=sum(dead for _, _, dead, _ in found),
        oldest_at=min((oldest for *_, oldest in found), default=None),
        by_side={side: waiting + dead for side, waiting, dead, _ in found},
    )


def _claim(tiers: Tiers, size: int) -> list[_Claim]:
    now = tiers.clock.now()
    until = now + timedelta(seconds=LEASE_SECONDS)
    found = tiers.database.fetch(_CLAIM, [until, now, max(size, 0)])
    return [
        _Claim(session_id=session_id, generation=generation, attempts=attempts, lease_until=until)
        for session_id, generation, attempts in found
    ]


def _give_back(tiers: Tiers, claims: list[_Claim]) -> None:
    """Let others come to these at once; what was marked anew meanwhile has its own turn."""
    ids, until = [each.session_id for each in claims], claims[0].lease_until
    tiers.database.fetch(_GIVE_BACK, [tiers.clock.now(), ids, until])


def _note(tiers: Tiers, claim: _Claim, exc: Exception, chance: float) -> None:
    """Write down why a repair failed, and when it is tried again; not over a write of after."""
    conf = get_conf()
    attempts = claim.attempts if isinstance(exc, _OUTAGES) else claim.attempts + 1
    is_dead = attempts > claim.attempts and attempts >= conf.REPAIR_MAX_ATTEMPTS
    # Half of it is chance: what failed together is not tried again together.
    longest = min(conf.REPAIR_BACKOFF_SECONDS * 2 ** max(attempts - 1, 0), _LONGEST_WAIT_SECONDS)
    due_at = tiers.clock.now() + timedelta(seconds=longest * (1 + chance) / 2)
    values = [due_at, attempts, _problem(exc), is_dead, claim.session_id, claim.generation]
    tiers.database.fetch(_FAIL, values)
    if is_dead:
        logger.error("Session %s waits for a person: %s", claim.session_id, _problem(exc))
    else:
        logger.info("Session %s is repaired later: %s", claim.session_id, _problem(exc))


def _problem(exc: Exception) -> str:
    """Return what a person is told of a failure: no personal data."""
    name = type(exc).__name__
    return f"{name}: {exc}"[:500] if isinstance(exc, _TELLING) else name
