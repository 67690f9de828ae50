"""How long a write in one process takes to be dropped from another's L1."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.benchmarks.listener import BARE_CHANNEL
from tests.benchmarks.measuring import Measured, percentile
from tests.benchmarks.rows import row
from tests.benchmarks.traffic import WrongTierError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.bench import Bench

_LATER = 1_000_000


class Listener:
    """The other process, asked and answered a line at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.expect("ready")

    def fill(self, keys: list[str]) -> None:
        """Fill its L1."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(keys).encode() + b"\n")
        self._process.stdin.flush()
        self.expect("filled")

    def expect(self, wanted: str) -> None:
        """Wait for an answer."""
        found = self._answer()
        if found != wanted:
            raise WrongTierError(f"The other process answered {found!r}, not {wanted!r}.")

    def dropped_at(self) -> int:
        """Return when (monotonic ns) a message had taken effect."""
        found = self._answer()
        if not found.isdecimal():
            raise WrongTierError(f"The other process answered {found!r} to a message.")
        return int(found)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()


@row(
    operation="PUBLISH sent → dropped from another process's L1",
    baseline="bare PUBLISH → another process's callback",
    target=1.3,
)
def invalidation(bench: Bench) -> Measured:
    tier = bench.without_l1.redis
    assert tier is not None
    client, channel, plan = bench.redis, tier.channel, bench.plan
    bench.stop_l1()  # as many subscribers of ours as of theirs: one, in the other process
    mine: list[list[int]] = []
    theirs: list[list[int]] = []
    with _listening() as listener:

        def sent(to: str, message: str) -> int:
            began = time.monotonic_ns()
            client.publish(to, message)
            return listener.dropped_at() - began

        for number in range(plan.rounds):
            first = number * plan.operations
            keys = [bench.ids[(first + n) % len(bench.ids)] for n in range(plan.operations)]
            listener.fill(keys)
            mine.append([])
            theirs.append([])
            for begin in range(0, plan.operations, plan.block):
                block = keys[begin : begin + plan.block]
                mine[-1] += [sent(channel, f"{key} {_LATER}") for key in block]
                theirs[-1] += [sent(BARE_CHANNEL, f"{key} {_LATER}") for key in block]
    return Measured(
        p50_us=statistics.median(percentile(spent, 50) for spent in mine) / 1000,
        p99_us=statistics.median(percentile(spent, 99) for spent in mine) / 1000,
        baseline_p50_us=statistics.median(percentile(spent, 50) for spent in theirs) / 1000,
    )


@contextmanager
def _listening() -> Iterator[Listener]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.listener"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield Listener(process)
    finally:
        process.kill()
        process.communicate()
