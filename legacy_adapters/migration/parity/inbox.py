"""What waits to be compared: a request puts it in without waiting, a thread takes several out."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple

from legacy_adapters.migration.conf import get_conf

if TYPE_CHECKING:
    from collections.abc import Callable

    from legacy_adapters.migration.parity.tallies import Where

AT_ONCE: Final = 16
"""Sessions that are looked at together: what asking costs beside the answer is paid once."""

# A thread that waits for a job is woken by the request that puts it in, and takes the interpreter
# from that very request. One that gathers for a while is not; and it finds several.
_GATHER_SECONDS: Final = 0.1


class Job(NamedTuple):
    """A session to compare; ``at`` is when it was read, by `time.monotonic`."""

    where: Where
    session_id: str
    at: float
    is_second_look: bool = False


class Inbox:
    """The jobs of one process, oldest first; ``wait`` is how a thread that gathers waits."""

    def __init__(self, *, wait: Callable[[float], object]) -> None:
        self._wait = wait
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()

    def __len__(self) -> int:
        """How many wait."""
        return self._jobs.qsize()

    def put(self, job: Job) -> None:
        """Let a job wait. Never waits itself."""
        self._jobs.put(job)

    def take(self) -> list[Job]:
        """Wait for jobs, and return up to `AT_ONCE`; none: it is over, for whoever asks next too.

        What comes soon after the first is taken with it. While enough wait nobody gathers.
        """
        first = self._jobs.get()
        if len(self) < AT_ONCE - 1:
            self._wait(min(_GATHER_SECONDS, get_conf().SHADOW_DEADLINE_SECONDS / 2))
        found = [first]
        with suppress(Empty):
            while len(found) < AT_ONCE and found[-1] is not None:
                found.append(self._jobs.get_nowait())
        if found[-1] is None:
            self.stop()
            return []
        return [each for each in found if each is not None]

    def stop(self) -> None:
        """Let every thread that takes go home; what still waits is dropped."""
        self._jobs.put(None)
