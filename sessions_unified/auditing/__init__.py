"""The auditor: do the tiers say the same? For an operator, and for the scheduled sample."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sessions_unified.auditing import choosing
from sessions_unified.auditing.run import AuditRun
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.metrics import DIVERGENCES
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessions_unified.auditing.report import AuditReport
    from sessions_unified.tiers import Tiers

__all__ = ["audit", "audit_sample"]

logger = logging.getLogger(__name__)


def audit(
    tiers: Tiers,
    *,
    ids: Iterable[str] | None = None,
    sample: int | None = None,
    repair: bool = False,
    patience_seconds: float = 2,
    advance: Callable[[int], None] = lambda _: None,
) -> AuditReport:
    """Compare the caches with the database, and the database with its event log.

    Without ``ids`` and ``sample``: all sessions, and every copy in Redis, so that one whose session
    is gone is found too. A sample is half of what changed last and half of all, and as many copies.

    A difference counts if it is still the same after ``patience_seconds``: a writer may be between
    its commit and its put. ``repair`` drops what diverges from the caches; what is wrong in the
    database is only reported. ``advance`` is told how many more sessions were compared.

    Raises:
        TierUnavailableError: a tier did not answer, so that there is nothing to compare.

    """
    run = AuditRun(tiers, repairs=repair, patience_seconds=patience_seconds, advance=advance)
    if ids is not None:
        run.compare_all(choosing.given(ids))
    elif sample is not None:
        run.compare_all(choosing.sampled(tiers, sample))
    else:
        run.compare_all(choosing.stored(tiers), in_redis=False)
        run.compare_all(choosing.cached(tiers), counts_sessions=False)
    return run.finish()


def audit_sample() -> int:
    """Compare `AUDIT_SAMPLE` sessions, repair the caches, and return how many divergences remain.

    With a tier down it says so and does nothing.
    """
    try:
        report = audit(get_tiers(), sample=get_conf().AUDIT_SAMPLE, repair=True)
    except TierUnavailableError as exc:
        logger.warning("The tiers could not be compared: %s", exc)
        return 0
    # Only here: who looks again by hand would count what this has counted.
    for (tier, kind), number in report.counts.items():
        DIVERGENCES.labels(tier, kind).inc(number)
    for case in report.cases:
        logger.warning("The tiers diverge: %s", case)
    return report.remaining
