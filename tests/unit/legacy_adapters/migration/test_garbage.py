"""The cycle collector rests during a batch, and works again after it, whatever happened."""

from __future__ import annotations

import gc

import pytest

from legacy_adapters.migration.garbage import collector_at_rest


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
