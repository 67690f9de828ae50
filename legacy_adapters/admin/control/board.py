"""The board: every endpoint's way through the stages, its comparisons and its next move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.admin.base import moment
from legacy_adapters.admin.control.wording import (
    count_text,
    duration_text,
    part_text,
    percent_text,
    place_text,
)
from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.stages.names import Stage
from sessions_unified.admin.formatting import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from django.utils.safestring import SafeString

    from legacy_adapters.migration.gates.gate import Gate
    from legacy_adapters.migration.steering.operating import EndpointStatus

_ALL: Final = 100

HEADINGS: Final = [
    {"name": words(stage), "answers": "old" if stage.rank < Stage.LIVE.rank else "new"}
    for stage in Stage
]
"""The board's columns, and which side answers reads there."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One stage of one endpoint.

    Attributes:
        kind: ``past``, ``rest`` (of the sessions), ``here`` or ``ahead``.
        text: the part of the sessions that is here, if any is.
        stage: its name, for readers who do not see the column's.

    """

    kind: str
    stage: str
    text: str = ""


def cells_of(stage: Stage, percent: float | Decimal) -> list[Cell]:
    """Return an endpoint's row of the board: the sessions outside its part are a stage behind."""
    return [_cell(each, stage, percent) for each in Stage]


def _cell(each: Stage, stage: Stage, percent: float | Decimal) -> Cell:
    name = words(each)
    if each is stage:
        return Cell(kind="here", stage=name, text=percent_text(percent))
    if each.rank > stage.rank:
        return Cell(kind="ahead", stage=name)
    if percent < _ALL and each is stage.before:
        return Cell(kind="rest", stage=name, text=percent_text(_ALL - percent))
    return Cell(kind="past", stage=name)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What the page shows of one endpoint; everything is text."""

    name: str
    cells: list[Cell]
    place: str
    since: SafeString | str
    was_moved: bool
    is_demoted: bool
    demoted: SafeString | str
    is_paused: bool
    pause_reason: str
    comparing: Comparing | None
    compares: bool
    next: str
    shut: Sequence[Gate]
    open: Sequence[Gate]
    buttons: list[Button]


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """What comparing an endpoint has come to.

    Attributes:
        passes: whether the lower bound is above what is needed; None: too little is known.

    """

    agreeing: str
    bound: str
    passes: bool | None
    compared: str
    left_out: str
    transient: str
    confirmed: str
    errors: str
    reads: str
    p50: str
    p95: str
    has_confirmed: bool
    has_errors: bool


@dataclass(frozen=True, kw_only=True)
class Button:
    """A way to a form: `name` as its address has it."""

    name: str
    label: str


def endpoint_of(status: EndpointStatus, *, may_move: bool) -> Endpoint:
    """Return what is shown of an endpoint; buttons for those who may press them."""
    following = "" if status.next is None else place_text(*status.next)
    return Endpoint(
        name=status.endpoint.value,
        cells=cells_of(status.stage, status.percent),
        place=place_text(status.stage, status.percent),
        since=moment(status.entered_at) if status.entered_at else "never moved",
        was_moved=status.entered_at is not None,
        is_demoted=status.demoted_at is not None,
        demoted=moment(status.demoted_at),
        is_paused=status.paused_at is not None,
        pause_reason=status.pause_reason,
        comparing=comparing_of(status.parity),
        compares=status.stage.compares,
        next=following,
        shut=[gate for gate in status.gates if not gate.is_open],
        open=[gate for gate in status.gates if gate.is_open],
        buttons=buttons_of(status) if may_move else [],
    )


def buttons_of(status: EndpointStatus) -> list[Button]:
    """Return what can be done with an endpoint as it is."""
    is_off = status.stage is Stage.OFF
    found = []
    if status.next is not None and status.paused_at is None:
        found.append(Button(name="advance", label="Advance…"))
    if not is_off:
        found.append(Button(name="percentage", label="Percentage…"))
        found.append(Button(name="rollback", label="Roll back…"))
    if status.paused_at is not None:
        found.append(Button(name="resume", label="Resume…"))
    else:
        found.append(Button(name="pause", label="Pause…"))
    return found


def comparing_of(parity: Mapping[str, Any] | None) -> Comparing | None:
    """Return the figures of an endpoint's comparisons; None: there are none."""
    if not parity or not (parity["compared"] or parity["reads"]):
        return None
    compared, bound = parity["compared"], parity["lower_bound"]
    agreed = parity["agreed"] + parity["transient"]
    threshold = get_conf().PARITY_THRESHOLD
    return Comparing(
        agreeing=part_text(agreed / compared if compared else None),
        bound=part_text(bound),
        passes=None if bound is None else bound > threshold,
        compared=count_text(compared),
        left_out=count_text(parity["shed"] + parity["failed"]),
        transient=count_text(parity["transient"]),
        confirmed=count_text(parity["confirmed"]),
        errors=count_text(parity["errors"]),
        reads=count_text(parity["reads"]),
        p50=_against(parity["p50_ms"]),
        p95=_against(parity["p95_ms"]),
        has_confirmed=bool(parity["confirmed"]),
        has_errors=bool(parity["errors"]),
    )


def _against(sides: Mapping[str, float | None]) -> str:
    """Return how long a read took, old against new; a unit that both have is said once."""
    old, new = duration_text(sides["legacy"]), duration_text(sides["unified"])
    if old.endswith(" ms") and new.endswith(" ms"):
        old = old.removesuffix(" ms")
    return f"{old} → {new}"
