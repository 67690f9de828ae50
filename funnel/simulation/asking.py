"""Asking until there is a definite answer, or patience is over."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from funnel.simulation.client import CUT, Answer, Browser

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from funnel.simulation.client import Site
    from funnel.simulation.ledger import Ledger
    from funnel.simulation.tally import Tally

_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 2.0
_AGAIN: Final = frozenset({"charge_in_flight", "throttled", "version_conflict"})
_AWAY: Final = frozenset({CUT, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class World:
    """What all shoppers share.

    Attributes:
        patience_seconds: for how long one asks again before one gives up.
        think_seconds: the longest pause between two pages.
        stop: set when everybody should leave.

    """

    site: Site
    ledger: Ledger
    tally: Tally
    stop: threading.Event
    patience_seconds: float
    think_seconds: float


class LeftError(Exception):
    """The shopper has left: gave up, or was sent away."""


class Visitor:
    """A person with a browser, who asks again where nobody knows what became of it."""

    def __init__(self, world: World, random: Random, *, name: str) -> None:
        self.world = world
        self.random = random
        self.name = name
        self.browser = Browser(world.site)
        self._keys = 0

    @property
    def session_id(self) -> str:
        """The id of the session in the browser; empty before there is one."""
        return ""

    def new_key(self) -> str:
        """Return an Idempotency-Key for one operation."""
        self._keys += 1
        return f"{self.name}-{self._keys}-{self.random.getrandbits(48):x}"

    def chance(self, part: float) -> bool:
        """Tell whether to do what so many do, 0 to 1."""
        return self.random.random() < part

    def think(self) -> None:
        """Look at the page for a while."""
        if self.world.stop.wait(self.random.uniform(0, self.world.think_seconds)):
            raise LeftError

    def ask(self, act: str, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Ask, with the same headers, until there is a definite answer or patience is over."""
        until = time.monotonic() + self.world.patience_seconds
        wait = _FIRST_WAIT_SECONDS
        while True:
            answer = self.browser.send(method, path, body, **headers)
            self.world.tally.request(act, answer)
            if not is_open(answer):
                return answer
            pause = min(max(wait, answer.retry_after), _LONGEST_WAIT_SECONDS)
            is_late = time.monotonic() + pause > until
            if is_late or self.world.stop.wait(pause * self.random.uniform(0.8, 1.2)):
                self.world.tally.note(f"gave up: {act}")
                return answer
            wait *= 2

    def settle(
        self, act: str, answer: Answer, *, expected: frozenset[int] = frozenset({200})
    ) -> bool:
        """Tell whether the site did it; leave where it said what it should not, or nothing."""
        if answer.status in expected:
            return answer.is_ok
        if not is_open(answer):
            self.world.tally.surprise(act, answer, self.session_id)
        raise LeftError


def is_open(answer: Answer) -> bool:
    """Tell whether what became of a request is still to be asked for."""
    return answer.status in _AWAY or answer.status == 202 or answer.code in _AGAIN  # noqa: PLR2004


def at_once(*acts: Callable[[], Answer]) -> list[Answer]:
    """Do things at the same time; return their answers, in order."""
    if len(acts) == 1:
        return [acts[0]()]
    answers: list[Answer | None] = [None] * len(acts)

    def do(number: int, act: Callable[[], Answer]) -> None:
        answers[number] = act()

    threads = [threading.Thread(target=do, args=each, daemon=True) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answer for answer in answers if answer is not None]
