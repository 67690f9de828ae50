"""What a web process does once, when its server loads the application."""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def unfrozen() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("unfrozen")
def test_what_is_loaded_is_kept_out_of_the_collectors_sight() -> None:
    importlib.reload(importlib.import_module("funnel.wsgi"))

    assert gc.get_freeze_count() > 100_000
