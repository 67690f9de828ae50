"""An endpoint goes back to `shadow` by itself when what it answers is wrong, missing or slow."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import Error as DatabaseError

from legacy_adapters import metrics
from legacy_adapters.migration.catching_up import UnsettledError
from legacy_adapters.migration.conf import Conf, get_conf
from legacy_adapters.migration.parity.histograms import percentile
from legacy_adapters.migration.parity.summing import Parity, last_legacy_ms, summed
from legacy_adapters.migration.stages.moving import MovingTimeoutError, OvertakenError
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.migration.stages.view import Place
from legacy_adapters.migration.steering.operating import MAX_REASON, MoveRefusedError, demote
from legacy_adapters.models import EndpointStage
from legacy_adapters.tables import rows
from sessions_unified.exceptions import TierUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from legacy_adapters.models import StageChange
    from sessions_unified.tiers import Tiers

logger = logging.getLogger(__name__)

_STAGES: Final = (Stage.LIVE, Stage.RAMP_DOWN)
_LEAST_SAMPLES: Final = 50
"""Reads of each side before their 95th percentiles are compared."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Why an endpoint is demoted.

    Attributes:
        endpoint: the endpoint, as ``at`` it was when it was judged.
        kind: ``mismatches``, ``errors`` or ``latency``.
        reason: with the figure and the limit, for people.

    """

    endpoint: Endpoint
    at: EndpointStage
    kind: str
    reason: str


def check(tiers: Tiers, now: datetime | None = None) -> list[StageChange]:
    """Demote the endpoints at `live` or `ramp_down` that have earned it; return their moves.

    What counts is what was counted in the last `DEMOTION_WINDOW_SECONDS`, and since the endpoint
    was moved last: whoever advances it again starts afresh. One process at a time does it. With the
    database down nothing moves, and the next check sees more.
    """
    try:
        return _demote_all(tiers, now)
    except (DatabaseError, TierUnavailableError) as exc:
        logger.warning("Endpoints cannot be judged now: %s", type(exc).__name__)
        return []


def _verdicts(tiers: Tiers, now: datetime | None) -> list[Verdict]:
    until = now or tiers.clock.now()
    window_at = until - timedelta(seconds=get_conf().DEMOTION_WINDOW_SECONDS)
    judged = [
        _judge(
            each, summed(Endpoint(each.endpoint), _STAGES, since=max(each.changed_at, window_at))
        )
        for each in rows(EndpointStage).filter(stage__in=_STAGES).order_by("endpoint")
    ]
    return [each for each in judged if each is not None]


def _judge(place: EndpointStage, parity: Parity) -> Verdict | None:
    conf = get_conf()
    for kind, reason in (
        ("mismatches", _mismatches(parity, conf)),
        ("errors", _errors(parity, conf)),
        ("latency", _latency(Endpoint(place.endpoint), parity, conf)),
    ):
        if reason is not None:
            return Verdict(endpoint=Endpoint(place.endpoint), at=place, kind=kind, reason=reason)
    return None


def _mismatches(parity: Parity, conf: Conf) -> str | None:
    if parity.confirmed < max(conf.DEMOTE_AFTER_MISMATCHES, 1):
        return None
    fields = ", ".join(f"{name} {count}" for name, count in parity.fields.items())
    return (
        f"{parity.confirmed} confirmed differences of {parity.compared} comparisons "
        f"(limit {conf.DEMOTE_AFTER_MISMATCHES}): {fields}"
    )


def _errors(parity: Parity, conf: Conf) -> str | None:
    is_many = parity.errors >= max(conf.DEMOTE_AFTER_ERRORS, 1)
    if not is_many or parity.errors < conf.DEMOTE_ERROR_RATE * parity.reads:
        return None
    return (
        f"{parity.errors} of {parity.reads} reads failed "
        f"(limit {conf.DEMOTE_AFTER_ERRORS}, and {conf.DEMOTE_ERROR_RATE:.2%})"
    )


def _latency(endpoint: Endpoint, parity: Parity, conf: Conf) -> str | None:
    """Judge by what shoppers wait for; an endpoint that hardly reads, by the comparisons' reads."""
    unified = _p95(parity.served_ms) if _is_enough(parity.served_ms) else _p95(parity.unified_ms)
    if not conf.DEMOTE_LATENCY_RATIO or unified is None or unified <= conf.DEMOTE_LATENCY_MIN_MS:
        return None
    is_recent = _is_enough(parity.legacy_ms)
    legacy = _p95(parity.legacy_ms if is_recent else last_legacy_ms(endpoint))
    if legacy is None or unified <= conf.DEMOTE_LATENCY_RATIO * legacy:
        return None
    side = "the legacy side" if is_recent else "the legacy side, when it was last compared,"
    return (
        f"95 % of reads took {unified:.0f} ms, of {side} {legacy:.1f} ms "
        f"(limit {conf.DEMOTE_LATENCY_RATIO:g} times, and {conf.DEMOTE_LATENCY_MIN_MS:g} ms)"
    )


def _p95(histogram: Mapping[str, int]) -> float | None:
    return percentile(histogram, 0.95) if _is_enough(histogram) else None


def _is_enough(histogram: Mapping[str, int]) -> bool:
    return sum(histogram.values()) >= _LEAST_SAMPLES


def _demote_all(tiers: Tiers, now: datetime | None) -> list[StageChange]:
    changes = []
    for verdict in _verdicts(tiers, now):
        change = _demote(tiers, verdict)
        if change is not None:
            metrics.DEMOTIONS.labels(verdict.endpoint.value, verdict.kind).inc()
            logger.warning("%s was demoted: %s", verdict.endpoint, verdict.reason)
            changes.append(change)
    return changes


def _demote(tiers: Tiers, verdict: Verdict) -> StageChange | None:
    """Move one endpoint back for all sessions; None: somebody was quicker, or writes held it up.

    Of two processes that judge at once the second finds it moved.
    """
    gate = {"name": verdict.kind, "open": False, "reason": verdict.reason}
    place = Place(stage=Stage(verdict.at.stage), percent=verdict.at.percent)
    try:
        return demote(
            tiers,
            verdict.endpoint,
            reason=verdict.reason[:MAX_REASON],
            if_at=place,
            gates=[gate],
        )
    except (OvertakenError, MoveRefusedError):  # the latter: between two looks at where it is
        return None
    except (MovingTimeoutError, UnsettledError) as exc:
        logger.warning("%s is to be demoted, and waits: %s", verdict.endpoint, exc)
        return None
