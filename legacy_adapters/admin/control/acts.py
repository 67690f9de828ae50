"""The buttons: which there are, what they ask for, and how each goes through `operating`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.admin.control.forms import (
    AdvanceForm,
    MoveForm,
    PercentForm,
    RollbackForm,
    shown_text,
)
from legacy_adapters.admin.control.wording import place_text
from legacy_adapters.admin.history import move_text
from legacy_adapters.migration.stages.moving import OvertakenError
from legacy_adapters.migration.stages.names import Stage
from legacy_adapters.migration.steering import operating

if TYPE_CHECKING:
    from collections.abc import Callable

    from legacy_adapters.migration.steering.operating import EndpointStatus
    from sessions_unified.tiers import Tiers


@dataclass(frozen=True, kw_only=True)
class Act:
    """A button.

    Attributes:
        name: what its address ends with.
        label: what it says.
        explanation: what it does, for the page that asks for a reason.
        form: what that page asks for.
        carry_out: ``(tiers, status, cleaned_data, actor)`` → what was done, in a sentence.
        asks_gates: whether gates may refuse it.
        is_dangerous: whether the button is red.

    """

    name: str
    label: str
    explanation: str
    form: type[MoveForm]
    carry_out: Callable[[Tiers, EndpointStatus, dict[str, Any], str], str]
    asks_gates: bool = False
    is_dangerous: bool = False

    def press(self, tiers: Tiers, status: EndpointStatus, given: dict[str, Any], actor: str) -> str:
        """Do it, unless the endpoint has been moved since the page was shown.

        Raises:
            LegacyAdaptersError: it was refused; nothing was changed.

        """
        if given["shown"] != shown_text(status):
            raise OvertakenError
        return self.carry_out(tiers, status, given, actor)


def _advance(tiers: Tiers, status: EndpointStatus, given: dict[str, Any], actor: str) -> str:
    if status.next is None:
        raise OvertakenError
    change = operating.advance(
        tiers,
        status.endpoint,
        stage=Stage(status.next[0]),
        percent=given["percent"],
        actor=actor,
        reason=given["reason"],
    )
    return f"Advanced: {change.endpoint}, {move_text(change)}."


def _set_percentage(tiers: Tiers, status: EndpointStatus, given: dict[str, Any], actor: str) -> str:
    percent = given["percent"]
    move = operating.advance if percent > status.percent else operating.rollback
    change = move(
        tiers,
        status.endpoint,
        stage=status.stage,
        percent=percent,
        actor=actor,
        reason=given["reason"],
    )
    return f"Moved: {change.endpoint}, {move_text(change)}."


def _roll_back(tiers: Tiers, status: EndpointStatus, given: dict[str, Any], actor: str) -> str:
    change = operating.rollback(
        tiers,
        status.endpoint,
        stage=Stage(given["stage"]),
        percent=given["percent"],
        actor=actor,
        reason=given["reason"],
    )
    return f"Rolled back: {change.endpoint}, {move_text(change)}."


def _pause(tiers: Tiers, status: EndpointStatus, given: dict[str, Any], actor: str) -> str:
    operating.pause(tiers, status.endpoint, actor=actor, reason=given["reason"])
    where = place_text(status.stage, status.percent)
    return f"Paused: {status.endpoint.value} is held at {where}. It can still be rolled back."


def _resume(tiers: Tiers, status: EndpointStatus, given: dict[str, Any], actor: str) -> str:
    operating.resume(tiers, status.endpoint, actor=actor, reason=given["reason"])
    return f"Resumed: {status.endpoint.value} may be advanced again."


ACTS: Final = {
    act.name: act
    for act in (
        Act(
            name="advance",
            label="Advance",
            explanation="The endpoint goes on to its next stage, for this part of the sessions; "
            "the others stay a stage behind. It is refused while a gate is shut.",
            form=AdvanceForm,
            carry_out=_advance,
            asks_gates=True,
        ),
        Act(
            name="percentage",
            label="Set the percentage",
            explanation="The endpoint stays at its stage, for this part of the sessions; the "
            "others are a stage behind. More of them is a move forward, which gates may refuse; "
            "fewer is a move back, which is always allowed.",
            form=PercentForm,
            carry_out=_set_percentage,
            asks_gates=True,
        ),
        Act(
            name="rollback",
            label="Roll back",
            explanation="The endpoint goes back to a stage before. That is always allowed, and no "
            "write is lost. Others that may not be further than it come back with it.",
            form=RollbackForm,
            carry_out=_roll_back,
            is_dangerous=True,
        ),
        Act(
            name="pause",
            label="Pause",
            explanation="The endpoint is held where it is: it is not advanced until somebody "
            "resumes it. It can still be rolled back.",
            form=MoveForm,
            carry_out=_pause,
        ),
        Act(
            name="resume",
            label="Resume",
            explanation="The endpoint may be advanced again.",
            form=MoveForm,
            carry_out=_resume,
        ),
    )
}
