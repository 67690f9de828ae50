"""Several stores' copies of a session side by side, in lines that fit a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessions_unified.field_lines import NONE, label, leaves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_WIDTH: Final = 118
_LABEL_WIDTH: Final = 34
_GAP: Final = "   "
_MARK: Final = " ≠ "


class Column(NamedTuple):
    """One store's copy.

    Attributes:
        session: in wire form; fields that the store has no place for are not in it.
        differing: the paths of its leaves that differ.

    """

    name: str
    session: Mapping[str, Any]
    differing: Collection[str] = ()


class Line(NamedTuple):
    """One line of the table."""

    text: str
    differs: bool


def side_by_side(columns: Sequence[Column]) -> Iterator[Line]:
    """Yield the table: the stores' names, then a line a leaf. What differs is marked."""
    rows = list(_rows([column.session for column in columns]))
    first = max((len(_clipped(path)) for path, _ in rows), default=0)
    room = (_WIDTH - 2 - first) // len(columns) - len(_GAP)
    widths = [
        min(room, max([len(column.name), *(len(cells[place] or "") for _, cells in rows)]))
        for place, column in enumerate(columns)
    ]
    yield Line(_line("".ljust(first), [_GAP + column.name for column in columns], widths), False)
    for path, cells in rows:
        marked = [path in column.differing for column in columns]
        said = [
            f"{_MARK if is_marked else _GAP}{cell or ''}"
            for cell, is_marked in zip(cells, marked, strict=True)
        ]
        yield Line(_line(_clipped(path).ljust(first), said, widths), any(marked))


def _line(begin: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    fitted = (
        _cut(cell, width + len(_GAP)).ljust(width + len(_GAP))
        for cell, width in zip(cells, widths, strict=True)
    )
    return f"  {begin}{''.join(fitted)}".rstrip()


def _clipped(path: str) -> str:
    """Return a leaf's name; of a long one its end, which tells it from its neighbours."""
    said = label(path)
    return said if len(said) <= _LABEL_WIDTH else f"…{said[1 - _LABEL_WIDTH :]}"


def _cut(said: str, width: int) -> str:
    return said if len(said) <= width else f"{said[: width - 1]}…"


def _rows(sessions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str | None]]]:
    """Yield each leaf's path with its text in every session; None: that one has no such field.

    The order is that of the first session; what others have beside it comes with its field.
    """
    texts = [{leaf.path: leaf.text for leaf in leaves(session)} for session in sessions]
    rows: dict[str, dict[str, None]] = {}
    for session in sessions:
        for leaf in leaves(session):
            rows.setdefault(leaf.field, {})[leaf.path] = None
    rows.pop("id", None)  # it is what they were asked for
    for field, paths in rows.items():
        # An empty object stands for itself only where no session has anything in it.
        shown = [path for path in paths if path != field or len(paths) == 1 or field == "products"]
        for path in shown:
            yield (
                path,
                [
                    said.get(path, NONE) if field in session else None
                    for session, said in zip(sessions, texts, strict=True)
                ],
            )
