"""The threads of this process that compare both sides, and the one that keeps their books.

Nothing here is on a request's path but `ShadowPool.note`, which appends to queues.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import threading
import time
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING, Final

from django.core.signals import setting_changed
from django.db import Error as DatabaseError
from django.db import connections

from legacy_adapters.conf import get_adapter
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.parity import flushing
from legacy_adapters.migration.parity.comparing import look_at
from legacy_adapters.migration.parity.inbox import Inbox, Job
from legacy_adapters.migration.parity.tallies import Ledger, Outcome, Read, Where
from legacy_adapters.migration.sides.primary import primary_name
from legacy_adapters.migration.stages.names import Stage
from legacy_adapters.migration.steering import demotion
from sessions_unified.conf import get_conf as get_unified_conf
from sessions_unified.exceptions import InvalidChangeError, TierUnavailableError
from sessions_unified.postgres import database_budget
from sessions_unified.tiers import get_tiers
from sessions_unified.tiers.breaker import CircuitBreaker
from sessions_unified.tiers.database import DatabaseTier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from legacy_adapters.migration.parity.comparing import Look

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 2.0
_FLUSH_PATIENCE_SECONDS: Final = 2.0
_DEMOTION_PATIENCE_SECONDS: Final = 10.0  # it may wait for the writes under way
_EXIT_SECONDS: Final = 2.0
_MOST_SECOND_LOOKS: Final = 1_000
# Comparing needs the interpreter that requests need: a thread rests four times as long as it
# computed, so that it takes a fifth of a core at most. What that is too slow for is shed.
_REST: Final = 4
_COMPARED: Final = frozenset(stage for stage in Stage if stage.compares)


class ShadowPool:
    """Bounded in threads and in queue: what does not fit is shed, and counted."""

    def __init__(self, *, wait: Callable[[float], object] | None = None) -> None:
        self.ledger = Ledger()
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._inbox = Inbox(wait=self._wait)
        self._later: deque[tuple[float, Job]] = deque()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._flushes_last = False

    @cached_property
    def database(self) -> DatabaseTier:
        """Our database, with a breaker of its own: what fails here fails no shopper's request."""
        conf, tiers = get_unified_conf(), get_tiers()
        breaker = CircuitBreaker(
            failures=conf.BREAKER_FAILURES,
            reset_seconds=conf.BREAKER_RESET_SECONDS,
            tier="shadow",
        )
        return DatabaseTier(
            clock=tiers.clock,
            alias=tiers.database.alias,
            breaker=breaker,
            prepares=conf.PREPARED_STATEMENTS,
        )

    # On the request's path

    def note(self, where: Where, session_id: str, seconds: float, *, failed: bool) -> None:
        """Count a read; let its session be compared, where the stage says so. Never waits."""
        self.ledger.reads.append(Read(where, seconds, failed))
        if not self._threads:
            self._start()
        if not failed:
            self.offer(where, session_id)

    def offer(self, where: Where, session_id: str) -> None:
        """Let a session be compared, where the stage says so and there is room. Never waits."""
        if where.stage not in _COMPARED:
            return
        if not self._threads:
            self._start()
        conf = get_conf()
        is_chosen = conf.SHADOW_SAMPLE >= 1 or random.random() < conf.SHADOW_SAMPLE  # noqa: S311
        if not is_chosen or not conf.SHADOW_THREADS:
            return
        if len(self._inbox) >= conf.SHADOW_QUEUE:
            self.ledger.outcomes.append(Outcome(where, "shed"))
        else:
            self._inbox.put(Job(where, session_id, time.monotonic()))

    def _start(self) -> None:
        """Start the threads, once; whoever finds them being started goes on."""
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._threads or self._stopping.is_set():
                return
            workers = [self._work] * get_conf().SHADOW_THREADS
            for each in [self._keep_books, *workers]:
                thread = threading.Thread(target=each, name="legacy-shadow", daemon=True)
                thread.start()
                self._threads.append(thread)
        finally:
            self._starting.release()

    # The threads that compare

    def _work(self) -> None:
        while (jobs := self._inbox.take()) and not self._stopping.is_set():
            began = time.thread_time()
            try:
                self._compare(*jobs)
            except Exception:  # the next ones may fare better
                self._note_all(jobs, "failed")
                logger.exception("Sessions could not be compared")
            finally:
                connections.close_all()  # this thread's: back to the pool
            self._wait((time.thread_time() - began) * _REST)

    def _compare(self, *jobs: Job) -> None:
        """Compare these, by one look at each side where the legacy store can be asked so."""
        if get_adapter(primary_name()).supports_peek_many:
            self._compare_together(jobs)
        else:
            for job in jobs:
                self._compare_together((job,))

    def _compare_together(self, jobs: tuple[Job, ...]) -> None:
        seconds = get_conf().SHADOW_DEADLINE_SECONDS
        jobs = tuple(each for each in jobs if self._is_in_time(each, seconds))
        if not jobs:
            return
        session_ids = list(dict.fromkeys(each.session_id for each in jobs))
        try:
            now = get_tiers().clock.now()
            looks = look_at(self.database, session_ids, now=now, seconds=seconds)
        except (SourceUnavailableError, TierUnavailableError, DatabaseError):
            self._note_all(jobs, "failed")
        except Exception as exc:  # noqa: BLE001  (the next one may fare better)
            self._compare_apart(jobs, exc)
        else:
            for job in jobs:
                self._judge(job, looks[job.session_id])

    def _is_in_time(self, job: Job, seconds: float) -> bool:
        if job.is_second_look or time.monotonic() - job.at <= seconds:
            return True
        self._note(job, "shed")
        return False

    def _compare_apart(self, jobs: tuple[Job, ...], exc: Exception) -> None:
        """Compare one by one what failed together: one of them did it, and it alone has failed."""
        if len(jobs) > 1:
            for job in jobs:
                self._compare_together((job,))
        elif isinstance(exc, InvalidChangeError):
            self._note_all(jobs, "skipped")  # an id that no database holds
        else:
            self._note_all(jobs, "failed")
            logger.error("A session could not be compared", exc_info=exc)

    def _judge(self, job: Job, look: Look | None) -> None:
        if look is None:
            self._note(job, "skipped")
        elif not look.fields:
            self._note(job, "transient" if job.is_second_look else "agreed", look)
        elif job.is_second_look:
            self._note(job, "confirmed", look)
        elif len(self._later) >= _MOST_SECOND_LOOKS:
            self._note(job, "shed")
        else:
            due = time.monotonic() + get_conf().RECHECK_SECONDS
            self._later.append((due, job._replace(is_second_look=True)))
            self._wake.set()

    def _note_all(self, jobs: Iterable[Job], result: str) -> None:
        for job in jobs:
            self._note(job, result)

    def _note(self, job: Job, result: str, look: Look | None = None) -> None:
        self.ledger.outcomes.append(Outcome(job.where, result, job.session_id, look))

    # The thread that keeps the books

    def _keep_books(self) -> None:
        flush_at = time.monotonic() + FLUSH_SECONDS
        while not self._stopping.is_set():
            next_at = min(flush_at, self._later[0][0]) if self._later else flush_at
            self._wake.wait(max(next_at - time.monotonic(), 0))
            self._wake.clear()
            self._let_in()
            if time.monotonic() >= flush_at:
                self._flush_and_judge()
                flush_at = time.monotonic() + FLUSH_SECONDS
        if self._flushes_last:
            self._flush_and_judge(judges=False)

    def _let_in(self) -> None:
        """Queue the second looks that are due: past the queue's bound, as they are bounded."""
        while self._later and self._later[0][0] <= time.monotonic():
            self._inbox.put(self._later.popleft()[1])

    def _flush_and_judge(self, *, judges: bool = True) -> None:
        try:
            if self.flush() and judges:
                with database_budget(_DEMOTION_PATIENCE_SECONDS):
                    demotion.check(get_tiers())
        except Exception:  # the next time may fare better
            logger.exception("What was compared could not be counted")
        finally:
            connections.close_all()

    def flush(self) -> bool:
        """Write what was noted; tell whether something was. What is refused is kept for later."""
        taken = self.ledger.take(get_tiers().clock.now())
        if not taken:
            return False
        try:
            with database_budget(_FLUSH_PATIENCE_SECONDS):
                flushing.write(self.database, taken)
        except (TierUnavailableError, DatabaseError) as exc:
            self.ledger.give_back(taken)
            logger.warning("Counts of comparisons are kept for later: %s", type(exc).__name__)
            return False
        except BaseException:
            self.ledger.give_back(taken)
            raise
        return True

    def stop(self, *, seconds: float, flushes: bool = False) -> None:
        """Stop the threads, and wait so long for what they are at; ``flushes``: and write it."""
        self._flushes_last = flushes
        self._stopping.set()
        self._wake.set()
        self._inbox.stop()
        ends_at = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(timeout=max(ends_at - time.monotonic(), 0))


_pool = ShadowPool()


def get_pool() -> ShadowPool:
    """Return this process's pool."""
    return _pool


def flush() -> bool:
    """Write what this process has noted; tell whether something was."""
    return _pool.flush()


def _renew() -> None:
    """Begin anew: in a child after fork, which has none of the threads, and between tests."""
    global _pool  # noqa: PLW0603
    _pool = ShadowPool()


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"SESSIONS_UNIFIED", "DATABASES", "LEGACY_ADAPTERS", "MIGRATION"}:
        before = _pool
        _renew()
        before.stop(seconds=5)


def _finish() -> None:
    """Write the last counts while the process ends, if the database takes them soon."""
    _pool.stop(seconds=_EXIT_SECONDS, flushes=True)


setting_changed.connect(_forget, dispatch_uid="legacy_adapters.migration.parity")
os.register_at_fork(after_in_child=_renew)
atexit.register(_finish)
