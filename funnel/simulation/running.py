"""Shoppers at a steady rate, and the look at the end whether the site kept its word."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Final, Self

from funnel.simulation.asking import LeftError, World
from funnel.simulation.checking import contradictions
from funnel.simulation.client import CUT, Site
from funnel.simulation.journeys import JOURNEYS
from funnel.simulation.ledger import Ledger
from funnel.simulation.old_shop import OldSessions
from funnel.simulation.shopper import Shopper
from funnel.simulation.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from funnel.simulation.ledger import Problem
    from funnel.simulation.old_shop import OldSession

_TICK_SECONDS: Final = 0.2


class _Teller:
    """Calls a function now and then."""

    def __init__(self, tell: Callable[[], object] | None, seconds: float) -> None:
        self._tell = tell
        self._seconds = seconds
        self._told = time.monotonic()

    def now_and_then(self) -> None:
        if self._tell is not None and time.monotonic() - self._told >= self._seconds:
            self._told = time.monotonic()
            self._tell()


class Simulation:
    """Shoppers of one site.

    The same seed makes the same shoppers come, with the same intentions, in the same order; what
    they meet is the site's.

    Args:
        base_url: the site's address on this machine, or several that serve the same one.
        rate: sessions begun a second.
        concurrency: most shoppers at a time; more wait until one has left.
        old_sessions: living sessions of the old shop, whose shoppers come back.
        cookie_secret: what the old shop signs its cookie with; empty: nobody brings one.
        patience_seconds: for how long a shopper asks again where there is no definite answer.
        think_seconds: the longest pause between two pages.

    Attributes:
        ledger: what was acknowledged.
        tally: what was sent and came back.
        stop: set it, and everybody leaves at once.
        closed: set it, and nobody new comes in; those inside finish.

    Raises:
        NotLoopbackError: the site is not on this machine.

    """

    def __init__(
        self,
        base_url: str | Sequence[str],
        *,
        seed: int = 1,
        rate: float = 5,
        concurrency: int = 24,
        old_sessions: Iterable[OldSession] = (),
        cookie_secret: str = "",
        patience_seconds: float = 30,
        think_seconds: float = 0.4,
    ) -> None:
        bases = [base_url] if isinstance(base_url, str) else list(base_url)
        self.ledger = Ledger()
        self.tally = Tally()
        self.seed = seed
        self.rate = rate
        self.concurrency = concurrency
        self.stop = threading.Event()
        self.closed = threading.Event()
        self._first = self._began = self._ended = 0.0
        self._old = OldSessions(old_sessions, secret=cookie_secret)
        self._number = 0
        self._world = World(
            # A shopper may click twice at once.
            site=Site(bases, connections=2 * concurrency),
            ledger=self.ledger,
            tally=self.tally,
            stop=self.stop,
            patience_seconds=patience_seconds,
            think_seconds=think_seconds,
        )

    @property
    def seconds(self) -> float:
        """How long shoppers came."""
        return (self._ended or time.monotonic()) - self._began if self._began else 0.0

    @property
    def elapsed_seconds(self) -> float:
        """How long ago the first one came."""
        return time.monotonic() - self._first if self._first else 0.0

    def is_answered(self) -> bool:
        """Tell whether something answers there."""
        answer, _ = self._world.site.send("GET", "/api/session/none", None, {})
        return answer.status != CUT

    def run(
        self,
        seconds: float | None = None,
        *,
        shoppers: int | None = None,
        tell: Callable[[], object] | None = None,
        tell_seconds: float = 5,
    ) -> None:
        """Have shoppers come until a bound is reached, or the shop is closed; those inside finish.

        It may be called again, to go on. ``tell`` is called every few seconds.
        """
        says = _Teller(tell, tell_seconds)
        with ThreadPoolExecutor(self.concurrency) as pool:
            inside: set[Future[None]] = set()
            with self._timed():
                for number in self._arrivals(seconds, shoppers, inside, says):
                    future = pool.submit(self._shop, number)
                    inside.add(future)
                    future.add_done_callback(inside.discard)
            while inside:
                wait(set(inside), timeout=_TICK_SECONDS)
                says.now_and_then()

    def _arrivals(
        self, seconds: float | None, most: int | None, inside: set[Future[None]], says: _Teller
    ) -> Iterator[int]:
        """Yield the number of each shopper when they are due, and there is room."""
        begun, due = 0, time.monotonic()
        ends_at = due + (float("inf") if seconds is None else seconds)
        while self._is_open and time.monotonic() < ends_at and begun != most:
            says.now_and_then()
            now = time.monotonic()
            if now < due:
                self.stop.wait(min(_TICK_SECONDS, due - now))
            elif len(inside) >= self.concurrency:
                wait(set(inside), timeout=_TICK_SECONDS, return_when=FIRST_COMPLETED)
            else:
                # Who had to wait for room does not bring a crowd with them.
                due = max(due + 1 / self.rate, now - 1)
                begun += 1
                self._number += 1
                yield self._number

    def check(self, *, settle_seconds: float = 30) -> list[Problem]:
        """Ask the site for every session; return what is not as it was acknowledged.

        What differs is looked at again for so long: a copy may be older than the answer, and
        repair may be under way.
        """
        found = contradictions(
            self._world.site,
            self.ledger.sessions.values(),
            threads=self.concurrency,
            settle_seconds=settle_seconds,
        )
        return [*self.ledger.problems, *found]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """Send everybody home, and close the connections."""
        self.stop.set()
        self._world.site.close()

    @property
    def _is_open(self) -> bool:
        return not self.stop.is_set() and not self.closed.is_set()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._first = self._first or time.monotonic()
        self._began, self._ended = time.monotonic() - self.seconds, 0.0
        try:
            yield
        finally:
            self._ended = time.monotonic()

    def _shop(self, number: int) -> None:
        random = Random(f"{self.seed}-{number}")  # noqa: S311  (to be repeated, not secret)
        (kind,) = random.choices(list(JOURNEYS), [share for share, _ in JOURNEYS.values()])
        self.tally.arrival(kind)
        shopper = Shopper(self._world, random, name=f"sim{self.seed}-{number}")
        try:
            JOURNEYS[kind][1](shopper, self._old)
            self.tally.note("finished")
        except LeftError:
            self.tally.note("left")
        except Exception as exc:  # noqa: BLE001  (an answer of a shape that nobody expects)
            self.tally.crash(kind, exc)
