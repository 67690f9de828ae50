"""All endpoints at a glance, and under them what stands in the way of each one's next move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.management.migrating.wording import percent_of, place_of, wrapped
from legacy_adapters.migration.stages.names import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from legacy_adapters.migration.steering.operating import EndpointStatus

_HEAD: Final = ("Endpoint", "Stage", "Sessions", "Compared", "Agree", "Differ")
_GAP: Final = "  "


def status_lines(found: Sequence[EndpointStatus], *, columns: int) -> Iterator[str]:
    """Yield the table, or a paragraph an endpoint where it has no room; then what is in the way."""
    cells = [_cells(each) for each in found]
    widths = [max(map(len, column)) for column in zip(_HEAD, *cells, strict=True)]
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= columns:
        yield from (_row(each, widths) for each in (_HEAD, *cells))
    else:
        for row in cells:
            yield f"{row[0]}: {row[1]} for {row[2]}"
            rest = zip(_HEAD[3:], row[3:], strict=True)
            yield from wrapped(
                ", ".join(f"{name.lower()} {value}" for name, value in rest), columns, indent="  "
            )
    if found:
        yield from _together(found[0], columns)
    for each in found:
        yield from _remarks(each, columns)
    yield ""
    yield from _in_the_way(found, columns)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return _GAP.join((*left, *right))


def _cells(status: EndpointStatus) -> tuple[str, ...]:
    parity: dict[str, Any] = status.parity or {}
    compared = int(parity.get("compared") or 0)
    bound = parity.get("lower_bound")
    return (
        str(status.endpoint),
        str(status.stage),
        percent_of(status.percent),
        f"{compared:,}" if compared else "-",
        "-" if bound is None else f"≥ {_floor(bound):.2f} %",
        f"{parity.get('confirmed') or 0:,}" if compared else "-",
    )


def _floor(part: float) -> float:
    """Return a bound in percent, never rounded up past what was found."""
    return int(part * 10_000) / 100


def _together(status: EndpointStatus, columns: int) -> Iterator[str]:
    """Yield what is one figure for all endpoints."""
    waiting = (
        f"{status.repair_backlog:,} sessions wait" if status.repair_backlog else "nothing waits"
    )
    hidden = ", ".join(f"{each.sessions:,} in {each.source}" for each in status.unseen)
    text = f"Repair: {waiting}." + (f" Unseen: {hidden}." if hidden else "")
    yield from wrapped(text, columns)


def _remarks(status: EndpointStatus, columns: int) -> Iterator[str]:
    if status.demoted_at is not None:
        text = (
            f"{status.endpoint} went back by itself at {status.demoted_at:%Y-%m-%d %H:%M} UTC: "
            "only a person advances it now. migration history says why."
        )
        yield from wrapped(text, columns)
    if status.paused_at is not None:
        text = f"{status.endpoint} is paused since {status.paused_at:%Y-%m-%d %H:%M} UTC: "
        yield from wrapped(f"{text}{status.pause_reason}", columns)


def _in_the_way(found: Sequence[EndpointStatus], columns: int) -> Iterator[str]:
    """Yield the shut gates; endpoints that wait for the same are told together."""
    together: dict[tuple[tuple[str, str], ...], list[EndpointStatus]] = {}
    for each in found:
        if each.next is not None:
            shut = tuple((gate.name, gate.reason) for gate in each.gates if not gate.is_open)
            together.setdefault(shut, []).append(each)
    ready = together.pop((), [])
    for each in ready:
        yield from wrapped(f"{each.endpoint} may go to {_next(each)}.", columns, hang="  ")
    for shut, waiting in together.items():
        names = ", ".join(f"{each.endpoint} to {_next(each)}" for each in waiting)
        yield from wrapped(f"In the way of {names}:", columns)
        for name, reason in shut:
            yield from wrapped(f"[{name}] {reason}", columns, indent="  ", hang="  ")
    if all(each.stage == Stage.COMPLETE and each.next is None for each in found):
        yield "Complete: manage.py migration retire is what is left."


def _next(status: EndpointStatus) -> str:
    assert status.next is not None  # noqa: S101  (whoever has none is not asked)
    stage, percent = status.next
    return place_of(stage, percent)
