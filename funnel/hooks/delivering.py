"""Delivering what is due, one after the other; any number of workers may do it at once."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import Error as DatabaseError

from funnel.conf import get_conf
from funnel.hooks import metrics
from funnel.hooks.base import Result
from funnel.hooks.claiming import claim, settle
from funnel.hooks.models import HookDelivery
from funnel.hooks.payload import event_of
from funnel.hooks.targets import get_targets
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import TierUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from funnel.hooks.base import Target

logger = logging.getLogger(__name__)

State = HookDelivery.State

RUN_SECONDS: Final = 25.0
FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 3600.0
_MOST_DOUBLINGS: Final = 16
# One that is down must not take the whole run from the others.
_FAILURES_BEFORE_REST: Final = 3
_ERROR_LENGTH: Final = 300


@dataclass(kw_only=True)
class Deliverer:
    """One run over what is due.

    Attributes:
        limit_seconds: after this no further delivery is begun; a backlog is for the next run.
        done: ``delivered``, ``retried``, ``failed``, ``overtaken`` → how many.

    """

    limit_seconds: float = RUN_SECONDS
    random: Callable[[], float] = random.random
    monotonic: Callable[[], float] = time.monotonic
    done: Counter[str] = field(default_factory=Counter)
    _failures: Counter[str] = field(default_factory=Counter)

    def run(self) -> Counter[str]:
        """Deliver until nothing is due, or the time is over.

        Raises:
            django.db.Error, TierUnavailableError: the database did not answer. What was being
                delivered comes again.

        """
        targets, began = get_targets(), self.monotonic()
        while targets and self.monotonic() - began < self.limit_seconds:
            leases = {name: target.lease_seconds for name, target in targets.items()}
            delivery = claim(leases, now=get_clock().now())
            if delivery is None:
                break
            result = _try(targets[delivery.target], delivery)
            self._settle(delivery, result)
            if self._needs_rest(delivery.target, result):
                del targets[delivery.target]
        return self.done

    def _settle(self, delivery: HookDelivery, result: Result) -> None:
        now = get_clock().now()
        if result.is_delivered:
            became = "delivered"
            is_mine = settle(delivery, state=State.DELIVERED, delivered_at=now, last_error="")
        elif result.is_final or delivery.tries >= get_conf().HOOK_TRIES:
            became = "failed"
            is_mine = settle(delivery, state=State.FAILED, last_error=result.error[:_ERROR_LENGTH])
        else:
            became = "retried"
            pause = pause_seconds(delivery.tries, result, random=self.random())
            is_mine = settle(
                delivery,
                next_try_at=now + timedelta(seconds=pause),
                last_error=result.error[:_ERROR_LENGTH],
            )
        self._note(delivery, result, became if is_mine else "overtaken")

    def _note(self, delivery: HookDelivery, result: Result, became: str) -> None:
        self.done[became] += 1
        metrics.DELIVERIES.labels(delivery.target, became).inc()
        if became == "delivered":
            return
        logger.log(
            logging.ERROR if became == "failed" else logging.WARNING,
            "%s to %s, try %d: %s; it is %s",
            *(delivery.event_id, delivery.target, delivery.tries),
            *(result.error or "it has it", became),
        )

    def _needs_rest(self, target: str, result: Result) -> bool:
        self._failures[target] = 0 if result.is_delivered else self._failures[target] + 1
        return result.rests or self._failures[target] >= _FAILURES_BEFORE_REST


def _try(target: Target, delivery: HookDelivery) -> Result:
    if delivery.tries > get_conf().HOOK_TRIES:
        return Result(error="no try has come to an end: the worker died each time", is_final=True)
    try:
        event = event_of(delivery)
    except (DatabaseError, TierUnavailableError):
        raise
    except Exception as exc:
        logger.exception("%s cannot be told", delivery.event_id)
        return Result(error=f"the order could not be read: {type(exc).__name__}")
    return target.deliver(event)


def pause_seconds(tries: int, result: Result, *, random: float) -> float:
    """Return how long to wait after so many tries: doubling, and as long as the target asks.

    ``random`` (0 to 1) spreads it over its second half, so that a target that comes back does not
    get everything at once.
    """
    doubled = FIRST_PAUSE_SECONDS * 2.0 ** min(tries - 1, _MOST_DOUBLINGS)
    spread = min(doubled, LONGEST_PAUSE_SECONDS) * (0.5 + random / 2)
    return max(spread, min(result.retry_after_seconds, LONGEST_PAUSE_SECONDS))
