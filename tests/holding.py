"""A gateway's answers held back: tests say when, and `tests.gateways.HeldGateway` obeys."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "TEST_GATEWAY_HOLD"
"""What tells a web process of the file that holds its gateway."""


def is_held_back() -> bool:
    """Tell whether a test holds this process's gateway."""
    return Path(os.environ[VARIABLE]).exists()


@contextmanager
def held_back(hold: Path) -> Iterator[None]:
    """Keep the answers back of every gateway that was given this file."""
    hold.touch()
    try:
        yield
    finally:
        hold.unlink()
