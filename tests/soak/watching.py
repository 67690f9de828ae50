"""Looks at the deployment while it runs: memory of every process, and what ``/metrics`` says."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.soak.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.soak.rig import Rig

MEMORY_EVERY_SECONDS: Final = 2
METRICS_EVERY_SECONDS: Final = 4
SCRAPE_SECONDS: Final = 3
PREFIX: Final = "sessions_unified_"
MOST: Final = ("l1_entries", "l1_bytes", "relay_lag_seconds", "relay_lag_events", "touches_pending")


class Watcher:
    """A thread: ``with Watcher(rig) as watcher``.

    Attributes:
        memory: the samples.
        most: gauge → the highest that was seen.
        last: metric with its labels → what was seen last.

    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="soak-watcher")
        self.memory = Memory()
        self.most: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        scraped = 0.0
        while not self._stop.wait(MEMORY_EVERY_SECONDS):
            self.memory.sample(self._rig.roles(), at=time.monotonic())
            if time.monotonic() - scraped > METRICS_EVERY_SECONDS:
                scraped = time.monotonic()
                self.scrape()

    def scrape(self) -> None:
        """Ask whichever web process answers: they share what they count."""
        for site in self._rig.sites:
            with suppress(URLError, OSError, ValueError):
                with urlopen(f"{site.base}/metrics", timeout=SCRAPE_SECONDS) as answer:
                    found = parsed(answer.read().decode())
                self.last |= found
                for name in MOST:
                    seen = max((found[key] for key in found if named(key) == name), default=0.0)
                    self.most[name] = max(seen, self.most.get(name, 0.0))
                return


def parsed(text: str) -> dict[str, float]:
    """Return our samples as ``name{label=value}`` → number."""
    return {
        key(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


def key(name: str, labels: Mapping[str, str]) -> str:
    inner = ",".join(f"{each}={value}" for each, value in sorted(labels.items()))
    return name.removeprefix(PREFIX) + (f"{{{inner}}}" if inner else "")


def named(sample: str) -> str:
    """Return a sample's name without its labels."""
    return sample.partition("{")[0]
