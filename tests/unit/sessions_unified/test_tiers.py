"""The tiers of one process."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from sessions_unified import tiers as tiers_module
from sessions_unified.tiers import Tiers, build_tiers, get_tiers, reset_tiers

if TYPE_CHECKING:
    import pytest


def test_threads_that_ask_first_together_get_the_same_tiers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build_slowly(*args: Any) -> Tiers:
        time.sleep(0.05)
        return build_tiers(*args)

    reset_tiers()
    monkeypatch.setattr(tiers_module, "build_tiers", build_slowly)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: get_tiers(), range(8)))

    assert len({id(each) for each in found}) == 1
    assert get_tiers() is found[0]
