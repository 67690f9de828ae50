"""Threads that take one step at a time, in the order that a seeded scheduler chooses.

An `Actor` stops before every operation on a tier. Whoever drives the scheduler lets one actor run
to its next stop; all others stand still meanwhile. So a run is the same under the same seed,
however the machine is loaded.
"""

from __future__ import annotations

import functools
import random
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable

_STUCK_SECONDS = 30
_REMEMBERED = 48


class StoppedError(BaseException):
    """The run is over: the actor's thread unwinds."""


def _never() -> bool:
    return False


def _taken_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


class Actor:
    """One thread, doing ``work`` over and over.

    Attributes:
        doing: the operation before which it stands.
        is_idle: it stands between two pieces of work.
        is_waiting: tells whether somebody else must move first: a row's lock, another's load.
        held_until: the step before which it is held back.
        depth: it is inside an operation; what that calls in turn is no step of its own.
        fault: its next call of Redis fails, by a fault of this name.

    """

    def __init__(self, name: str, scheduler: Scheduler, work: Callable[[Actor], None]) -> None:
        self.name = name
        self._scheduler = scheduler
        self._work = work
        self.baton = _taken_lock()
        self.doing = "start"
        self.is_idle = True
        self.is_waiting: Callable[[], bool] = _never
        self.held_until = 0
        self.depth = 0
        self.calls = 0
        self.telling: list[str] = []
        self.fault: str | None = None
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        self.baton.acquire()
        try:
            while not self._scheduler.is_over:
                self.is_idle = False
                self._work(self)
                self.is_idle = True
                self._scheduler.stop("start", counts=False)
        except StoppedError:
            pass
        except Exception as exc:  # noqa: BLE001  (whoever drives raises it, with the trace)
            self.error = exc
            self._scheduler.give_back()
        finally:
            connections.close_all()


class Scheduler:
    """Hands one baton around.

    Attributes:
        random: the one source of chance.
        steps: how many operations were let through.
        trace: the last of them, readable.

    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.steps = 0
        self.trace: deque[str] = deque(maxlen=_REMEMBERED)
        self.actors: list[Actor] = []
        self.is_over = False
        self._back = _taken_lock()
        self._by_thread: dict[int, Actor] = {}

    def add(self, name: str, work: Callable[[Actor], None]) -> None:
        """Start one more actor; it stands until it is run."""
        actor = Actor(name, self, work)
        self.actors.append(actor)
        actor.thread.start()
        assert actor.thread.ident is not None
        self._by_thread[actor.thread.ident] = actor

    @property
    def current(self) -> Actor | None:
        """The actor whose thread this is; None: it is nobody's."""
        return self._by_thread.get(threading.get_ident())

    def runnable(self, *, draining: bool) -> list[Actor]:
        """Return who can move; while draining, who is in the middle of something."""
        if draining:
            return [actor for actor in self.actors if not actor.is_idle and not actor.is_waiting()]
        able = [actor for actor in self.actors if not actor.is_waiting()]
        return [actor for actor in able if actor.held_until <= self.steps] or able

    def run(self, actor: Actor) -> None:
        """Let ``actor`` run to its next stop."""
        actor.baton.release()
        assert self._back.acquire(timeout=_STUCK_SECONDS), f"{actor.name} hangs in {actor.doing}"
        if actor.error is not None:
            raise actor.error

    def stop(self, doing: str, *, waits: Callable[[], bool] = _never, counts: bool = True) -> None:
        """Stand before ``doing`` until the baton comes; called by an actor's own thread."""
        actor = self.current
        assert actor is not None
        if self.is_over:
            raise StoppedError
        actor.doing, actor.is_waiting = doing, waits
        self._back.release()
        actor.baton.acquire()
        if self.is_over:
            raise StoppedError
        actor.is_waiting = _never
        self.steps += counts

    def give_back(self) -> None:
        """Return the baton for good."""
        self._back.release()

    def note(self, who: str, what: str) -> None:
        """Remember a line of the trace."""
        self.trace.append(f"{self.steps:6} {who:<10} {what}")

    def finish(self) -> None:
        """Let every actor unwind, and wait for its end."""
        self.is_over = True
        for actor in self.actors:
            actor.baton.release()
        for actor in self.actors:
            actor.thread.join(timeout=_STUCK_SECONDS)


def wrap_methods(tier: Any, around: Callable[..., Any], *, but: frozenset[str]) -> None:
    """Call ``around(name, method, *args)`` in place of every public method of ``tier``."""
    for name in dir(type(tier)):
        if name.startswith("_") or name in but or not callable(getattr(type(tier), name)):
            continue
        setattr(tier, name, functools.partial(around, name, getattr(tier, name)))
