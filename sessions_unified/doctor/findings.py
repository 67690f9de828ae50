"""What a check says, and how one is run: alone, and for a limited time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from sessions_unified.monitoring.measuring import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

RUNBOOKS: Final = "docs/howto/runbooks.md"


class Status(StrEnum):
    """How a check went."""

    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        status: how it went.
        text: the fact, in one line.
        ms: how long what it measured took; None: nothing was measured.
        advice: what to do about it; empty if nothing.
        runbook: where that is said at length; empty if nowhere.

    """

    status: Status
    text: str
    ms: float | None = None
    advice: str = ""
    runbook: str = ""


def ok(text: str, *, ms: float | None = None) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(status=Status.OK, text=text, ms=ms)


def warned(text: str, advice: str, runbook: str = "", *, ms: float | None = None) -> Finding:
    """Return a finding that wants a look; ``runbook`` is a section of `RUNBOOKS`."""
    return _advised(Status.WARN, text, advice, runbook, ms)


def failed(text: str, advice: str, runbook: str = "", *, ms: float | None = None) -> Finding:
    """Return a finding that costs shoppers something."""
    return _advised(Status.FAIL, text, advice, runbook, ms)


def _advised(status: Status, text: str, advice: str, runbook: str, ms: float | None) -> Finding:
    link = f"{RUNBOOKS}#{runbook}" if runbook else ""
    return Finding(status=status, text=text, ms=ms, advice=advice, runbook=link)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing to look at.

    Attributes:
        name: its name, a word or two.
        look: looks, and returns what it found. What it raises is a failure.
        advice: what to do where it raises or does not answer.
        runbook: the section of `RUNBOOKS` for that.
        needs: the check that must not have failed before it, or this one is skipped; empty: none.

    """

    name: str
    look: Callable[[], Finding]
    advice: str
    runbook: str = ""
    needs: str = ""


def run(checks: Iterable[Check], *, seconds: float = 5) -> Iterator[tuple[str, Finding]]:
    """Yield each check's name and finding, in order; one is left behind after ``seconds``."""
    fallen: set[str] = set()
    for check in checks:
        if check.needs in fallen:
            finding = Finding(status=Status.SKIP, text=f"skipped: needs {check.needs}")
            fallen.add(check.name)
        else:
            finding = _run(check, seconds)
            if finding.status is Status.FAIL:
                fallen.add(check.name)
        yield check.name, finding


def _run(check: Check, seconds: float) -> Finding:
    before = time.perf_counter()
    try:
        return within(seconds, check.look)
    except TimeoutError as exc:
        text = str(exc)
    except Exception as exc:  # noqa: BLE001  (whatever is broken is what the doctor is for)
        text = reason(exc)
    ms = (time.perf_counter() - before) * 1000
    return failed(text, check.advice, check.runbook, ms=ms)


def reason(exc: BaseException) -> str:
    """Return why something failed, in one line: the first cause says most."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    said = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {said}" if said else type(exc).__name__


class Stopwatch:
    """Times one round trip."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def ms(self) -> float:
        """Milliseconds since its start."""
        return (time.perf_counter() - self._began) * 1000
