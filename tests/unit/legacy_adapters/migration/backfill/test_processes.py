"""Worker processes: one that cannot be started leaves none behind, and says why."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

import pytest

from legacy_adapters.migration.backfill import processes

if TYPE_CHECKING:
    from collections.abc import Callable


class Process:
    """The first starts, the second does not."""

    made: list[Process]

    def __init__(self, *, target: Callable[..., object], args: tuple[Any, ...], name: str) -> None:
        self.told: list[str] = []
        self.made.append(self)

    def start(self) -> None:
        if len(self.made) > 1:
            raise BlockingIOError("too many processes")
        self.told.append("start")

    def __getattr__(self, name: str) -> Callable[..., bool]:
        if "start" not in self.told:
            raise AttributeError(name)  # as of a real one that was never started
        return lambda *_: bool(self.told.append(name))


def test_what_was_started_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    Process.made = []
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: processes_of(Process))

    with (
        pytest.raises(BlockingIOError),
        processes.started(1, workers=2, rows_per_second=None, rests=False),
    ):
        pass

    assert Process.made[0].told == ["start", "terminate", "join", "is_alive"]


def processes_of(process: type[Process]) -> object:
    return type("Context", (), {"Process": process})
