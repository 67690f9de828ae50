"""All rows, in the order of the table."""

from __future__ import annotations

# Each registers its rows when it is imported: the order here is the order of the table. Those
# that empty the tables come last.
from tests.benchmarks import (  # isort: skip
    reads,
    writes,
    tokens,
    web,
    invalidation,
    migrating,
    cleaning,
    importing,
    growth,
)
from tests.benchmarks.rows import ROWS

__all__ = [
    "ROWS",
    "cleaning",
    "growth",
    "importing",
    "invalidation",
    "migrating",
    "reads",
    "tokens",
    "web",
    "writes",
]
