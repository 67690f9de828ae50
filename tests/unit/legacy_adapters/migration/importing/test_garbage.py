"""The cycle collector rests during a batch, and works again after it, whatever happened."""

from __future__ import annotations

import gc
import threading

import pytest

from legacy_adapters.migration.importing.garbage import collector_at_rest


def test_it_rests_for_the_batch_alone() -> None:
    with collector_at_rest():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_a_batch_that_fails_leaves_it_at_work() -> None:
    with pytest.raises(ValueError, match="a batch"), collector_at_rest():
        raise ValueError("a batch")

    assert gc.isenabled()


def test_where_it_rests_already_it_goes_on_resting() -> None:
    gc.disable()
    try:
        with collector_at_rest():
            pass

        assert not gc.isenabled()
    finally:
        gc.enable()


def test_two_threads_never_leave_it_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = collector_at_rest(), collector_at_rest()
    first.__enter__()
    ending = threading.Thread(target=first.__exit__, args=(None, None, None))
    is_enabled = gc.isenabled

    def look() -> bool:
        found = is_enabled()
        ending.start()
        ending.join(0.1)  # it ends now, if nothing keeps it waiting
        return found

    with monkeypatch.context() as patched:
        patched.setattr(gc, "isenabled", look)
        second.__enter__()
    ending.join(60)
    second.__exit__(None, None, None)

    try:
        assert gc.isenabled()
    finally:
        gc.enable()
