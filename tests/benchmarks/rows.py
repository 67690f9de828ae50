"""The rows of the table: what each compares, its target, and the function that measures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.measuring import Measured

    Run = Callable[[Bench], Measured]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row.

    Attributes:
        name: as in ``build/bench.json``.
        operation: what is measured.
        baseline: what it is measured against.
        target: the largest ratio, ours ÷ baseline, that is good enough; None: it is only told.
        run: measures it.
        is_long: measured only where it is named (``make bench-growth``).

    """

    name: str
    operation: str
    baseline: str
    target: float | None
    run: Run
    is_long: bool = False


ROWS: Final[dict[str, Row]] = {}


def row(
    *, operation: str, baseline: str, target: float | None, is_long: bool = False
) -> Callable[[Run], Run]:
    """Register a function as the row of its own name."""

    def register(run: Run) -> Run:
        ROWS[run.__name__] = Row(
            name=run.__name__,
            operation=operation,
            baseline=baseline,
            target=target,
            run=run,
            is_long=is_long,
        )
        return run

    return register
