"""Where the demo and the tests keep their data."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def local_dir() -> Path:
    """Return ``FUNNEL_LOCAL_DIR``, by default ``.local`` in the checkout."""
    return Path(os.environ.get("FUNNEL_LOCAL_DIR") or CHECKOUT / ".local").absolute()


def demo_dir() -> Path:
    """Return the demo's directory."""
    return local_dir() / "demo"
