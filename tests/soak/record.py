"""What the load generator writes down of every request, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOTHING: Final = "-"
CUT: Final = 0
READS: Final = frozenset({"read", "ghost", "validate"})


class Record(NamedTuple):
    """One request and its outcome.

    Attributes:
        asked: the monotonic clock, which all processes share, just before it was sent.
        took: seconds until the whole answer was there, or until there was none to come.
        node: which web process.
        op: create, read, ghost (of a deleted session), increment, merge, extend, validate, delete.
        session: its id.
        status: of HTTP; `CUT`: no answer, so a write may or may not have happened.
        version: that was answered; 0: none.
        degraded: ``Session-Degraded``.
        note: what a merge wrote, as ``key=value``.

    """

    asked: float
    took: float
    node: int
    op: str
    session: str = NOTHING
    status: int = CUT
    version: int = 0
    degraded: str = NOTHING
    note: str = NOTHING

    @property
    def done(self) -> float:
        """When it was answered."""
        return self.asked + self.took

    @property
    def line(self) -> str:
        """The record as a line."""
        return (
            f"{self.asked:.6f} {self.took:.6f} {self.node} {self.op} {self.session} "
            f"{self.status} {self.version} {self.degraded} {self.note}\n"
        )


def parse(line: str) -> Record:
    """Return what `Record.line` wrote."""
    asked, took, node, op, session, status, version, degraded, note = line.split()
    return Record(
        float(asked), float(took), int(node), op, session, int(status), int(version), degraded, note
    )


def read_all(directory: Path) -> Iterator[Record]:
    """Yield every record that the load generator left there."""
    for path in sorted(directory.glob("*.records")):
        with path.open(encoding="ascii") as lines:
            yield from map(parse, lines)
