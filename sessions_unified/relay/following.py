"""Following the log batch by batch, whatever fails meanwhile."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.core.signals import request_finished, request_started
from django.db import Error as DatabaseError

from sessions_unified import event_log
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.metrics import RELAY_FAILURES, RELAYED, REWINDS
from sessions_unified.relay import cursors

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from sessions_unified.models import LogCursor
    from sessions_unified.relay.base import Consumer
    from sessions_unified.tiers import Tiers

logger = logging.getLogger(__name__)

_LONGEST_PAUSE_SECONDS: Final = 5.0


class Follower:
    """One consumer, led along the log.

    Attributes:
        failures: how often in a row its batch has failed by now.

    """

    def __init__(
        self,
        consumer: Consumer,
        tiers: Tiers,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.consumer = consumer
        self.failures = 0
        self._tiers = tiers
        self._monotonic = monotonic
        self._resume_at = 0.0
        self._replay_seconds = 0.0  # asked for, and not granted yet

    def step(self) -> int:
        """Hand over one batch; return how many events: 0 too while it rests after a failure.

        Nothing is raised: a failure is logged, and the batch comes again after a pause that
        doubles with each.
        """
        if self._monotonic() < self._resume_at:
            return 0
        try:
            handled = self._advance()
        except Exception as exc:  # noqa: BLE001  (one consumer must not stop the others)
            self._failed(exc)
            return 0
        if self.failures:
            logger.info("%s goes on after %d failures", self.consumer.name, self.failures)
        self.failures = 0
        return handled

    def _advance(self) -> int:
        consumer, clock = self.consumer, self._tiers.clock
        self._replay_seconds = max(self._replay_seconds, consumer.replay_seconds())
        place = cursors.find(consumer, now=clock.now())
        if not self._replay_seconds and not event_log.read_after(place, 1):
            event_log.check_order(place)
            return 0
        with self._tiers.database.transaction():
            cursor = cursors.lock(consumer)
            if cursor is None:
                return 0
            place = self._start(cursor)
            entries = event_log.read_after(place, get_conf().RELAY_BATCH_SIZE)
            if entries:
                consumer.handle(entries)
                place = entries[-1].place
            cursors.move(cursor, place, consumer, now=clock.now())
        self._committed(len(entries))
        return len(entries)

    def _start(self, cursor: LogCursor) -> event_log.Place:
        if not self._replay_seconds:
            return cursors.place_of(cursor)
        since = self._tiers.clock.now() - timedelta(seconds=self._replay_seconds)
        return cursors.earlier(cursor, since=since)

    def _committed(self, handled: int) -> None:
        name = self.consumer.name
        if self._replay_seconds:
            REWINDS.inc()
            logger.info("%s handles the last %g s again", name, self._replay_seconds)
            self._replay_seconds = 0
        RELAYED.labels(name).inc(handled)

    def _failed(self, exc: Exception) -> None:
        self.failures += 1
        RELAY_FAILURES.labels(self.consumer.name).inc()
        poll = get_conf().RELAY_POLL_SECONDS
        pause = min(poll * 2.0 ** min(self.failures - 1, 16), _LONGEST_PAUSE_SECONDS)
        self._resume_at = self._monotonic() + pause
        is_expected = isinstance(exc, TierUnavailableError | DatabaseError)
        logger.log(
            logging.WARNING if is_expected else logging.ERROR,
            "%s failed, %d in a row; it tries again in %.1f s: %s",
            *(self.consumer.name, self.failures, pause, str(exc) or type(exc).__name__),
            exc_info=not is_expected,
        )


class Relay:
    """The loop over all consumers; any number of them may run, each event is handled by one.

    Attributes:
        followers: one for each consumer.

    """

    def __init__(self, consumers: Iterable[Consumer], tiers: Tiers) -> None:
        self.followers = [Follower(consumer, tiers) for consumer in consumers]

    def round(self) -> bool:
        """Hand one batch to each consumer; return whether there is surely more to do."""
        # To the database a round is a request: bounded in time, its connection given back after.
        request_started.send_robust(sender=type(self))
        handled = [follower.step() for follower in self.followers]
        request_finished.send_robust(sender=type(self))
        return max(handled, default=0) >= get_conf().RELAY_BATCH_SIZE

    def run(self, stop: threading.Event) -> None:
        """Follow the log until ``stop`` is set; a batch that has begun is finished."""
        while not stop.is_set():
            if not self.round():
                stop.wait(get_conf().RELAY_POLL_SECONDS)

    def drain(self) -> bool:
        """Hand over what there is by now; return whether no consumer failed."""
        while self.round():
            pass
        return not any(follower.failures for follower in self.followers)
