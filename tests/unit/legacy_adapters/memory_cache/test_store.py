"""The map that stays small: bounded, swept, shared by threads, alone after a fork."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from legacy_adapters.memory_cache.store import SWEEP, BoundedSessionMap
from sessions_unified.testing import FrozenClock
from tests.legacy_tokens import MINUTE_MS, NOW, NOW_MS, data


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


def entry(number: int, *, minutes: int = 20) -> dict[str, Any]:
    return data(id=f"ws_1_{number}", expiresAt=NOW_MS + minutes * MINUTE_MS)


def test_it_is_a_mapping(clock: FrozenClock) -> None:
    sessions = BoundedSessionMap(now=clock.now)

    sessions["a"] = entry(1)

    assert dict(sessions) == {"a": entry(1)}
    assert sessions.pop("a") == entry(1)
    assert sessions.get("a") is None
    assert len(sessions) == 0
    with pytest.raises(KeyError):
        del sessions["a"]


def test_what_is_handed_out_is_a_copy(clock: FrozenClock) -> None:
    sessions = BoundedSessionMap(now=clock.now)
    given = entry(1)
    sessions["a"] = given

    given["email"] = "b@example.org"
    dict(sessions["a"])["email"] = "c@example.org"
    sessions["a"]["email"] = "d@example.org"  # type: ignore[index]

    assert sessions["a"] == entry(1)


def test_the_one_that_was_written_first_goes_when_it_is_full(clock: FrozenClock) -> None:
    sessions = BoundedSessionMap(max_entries=3, now=clock.now)
    for number in range(3):
        sessions[str(number)] = entry(number)

    sessions["0"] = entry(0)
    sessions["3"] = entry(3)

    assert list(sessions) == ["2", "0", "3"]


def test_it_stays_within_its_bound(clock: FrozenClock) -> None:
    sessions = BoundedSessionMap(max_entries=100, now=clock.now)

    for number in range(1_000):
        sessions[str(number)] = entry(number)

    assert len(sessions) == 100
    assert next(iter(sessions)) == "900"


def test_what_is_over_is_swept_every_five_minutes(clock: FrozenClock) -> None:
    sessions = BoundedSessionMap(now=clock.now)
    sessions["short"] = entry(1, minutes=1)
    sessions["long"] = entry(2)
    sessions["endless"] = {"id": "ws_1_3"}

    clock.advance(minutes=4, seconds=59)
    before = set(sessions)
    clock.advance(seconds=1)

    assert before == {"short", "long", "endless"}
    assert set(sessions) == {"long", "endless"}
    assert timedelta(minutes=5) == SWEEP
    clock.advance(minutes=16)
    assert set(sessions) == {"endless"}


def test_threads_share_it(clock: FrozenClock) -> None:
    sessions = BoundedSessionMap(max_entries=50, now=clock.now)
    problems: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for number in range(400):
                sessions[f"{worker}-{number % 40}"] = entry(number)
                sessions.get(f"{worker - 1}-{number % 40}")
                list(sessions.items() if number % 50 else sessions)
                sessions.pop(f"{worker}-{number % 7}", None)
        except KeyError:
            pass  # another thread was faster between the key and its value
        except BaseException as exc:  # noqa: BLE001  (whatever it is, the test shows it)
            problems.append(exc)

    threads = [threading.Thread(target=work, args=(each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert problems == []
    assert len(sessions) <= 50


def test_it_may_be_changed_while_it_is_gone_through(clock: FrozenClock) -> None:
    sessions = BoundedSessionMap(now=clock.now)
    for number in range(3):
        sessions[str(number)] = entry(number)

    for key in sessions:
        del sessions[key]

    assert len(sessions) == 0


def test_one_thread_at_a_time_changes_it(clock: FrozenClock) -> None:
    sessions = BoundedSessionMap(now=clock.now)
    other = threading.Thread(target=lambda: sessions.update({"a": entry(1)}))

    with sessions._lock:
        other.start()
        other.join(timeout=0.1)
        waits = other.is_alive()
    other.join(60)

    assert waits
    assert list(sessions) == ["a"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 and later
def test_a_fork_while_a_thread_holds_the_lock_leaves_a_map_that_works(clock: FrozenClock) -> None:
    sessions = BoundedSessionMap(now=clock.now)
    sessions["a"] = entry(1)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with sessions._lock:
            held.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    child = os.fork()
    if child == 0:
        sessions["b"] = entry(2)
        os._exit(0 if set(sessions) == {"a", "b"} else 1)
    status = ended(child)
    release.set()
    thread.join(60)

    assert status == 0
    assert set(sessions) == {"a"}


def ended(child: int) -> int:
    """Return how a process ended; end it if it hangs."""
    for _ in range(200):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
