"""What a person fills in to move an endpoint, or to hold it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django import forms

from legacy_adapters.migration.stages.names import Stage
from legacy_adapters.migration.steering import operating
from sessions_unified.admin.formatting import words
from sessions_unified.validators import no_card_data

if TYPE_CHECKING:
    from legacy_adapters.migration.steering.operating import EndpointStatus

_LEAST: Final = Decimal("0.01")
_ALL: Final = Decimal(100)
_UNDERSTOOD: Final = (
    "Reads go back to the legacy store. Tick the box if that is what you want: nothing was moved."
)


class MoveForm(forms.Form):
    """A reason, and where the endpoint was when the page was shown."""

    reason = forms.CharField(
        max_length=operating.MAX_REASON,
        label="Reason",
        widget=forms.Textarea(attrs={"class": "su-wide", "rows": 3}),
        validators=[no_card_data],
        help_text="It is kept in the history, with your name.",
    )
    shown = forms.CharField(max_length=32, widget=forms.HiddenInput)

    def __init__(self, status: EndpointStatus, data: Any = None) -> None:
        super().__init__(data, initial=self.beginning(status))
        self.status = status

    def beginning(self, status: EndpointStatus) -> dict[str, Any]:
        """Return what stands in the fields at first."""
        return {"shown": shown_text(status)}


class PercentForm(MoveForm):
    """Also for how many percent of the sessions."""

    field_order = ["percent", "reason"]
    percent = forms.DecimalField(
        label="Percent of the sessions",
        min_value=_LEAST,
        max_value=_ALL,
        max_digits=5,
        decimal_places=2,
        help_text="0.01 to 100. Which sessions they are never changes: a growing part adds some.",
    )

    def beginning(self, status: EndpointStatus) -> dict[str, Any]:
        """Begin with the part that it has."""
        return super().beginning(status) | {"percent": plain(status.percent)}


class AdvanceForm(PercentForm):
    """The next stage, for a part of the sessions or for all."""

    def beginning(self, status: EndpointStatus) -> dict[str, Any]:
        """Begin with the part that the next move would have."""
        percent = _ALL if status.next is None else status.next[1]
        return super().beginning(status) | {"percent": plain(percent)}


class RollbackForm(PercentForm):
    """A stage before; out of the unified side's reads only with a tick in a box."""

    stage = forms.ChoiceField(label="Back to")
    is_understood = forms.BooleanField(
        label="Reads go back to the legacy store: that is what I want", required=False
    )
    field_order = ["stage", "percent", "is_understood", "reason"]

    def __init__(self, status: EndpointStatus, data: Any = None) -> None:
        super().__init__(status, data)
        before = [each for each in Stage if each.rank < status.stage.rank]
        field = self.fields["stage"]
        field.choices = [(each.value, words(each)) for each in before[::-1]]  # type: ignore[attr-defined]

    def beginning(self, status: EndpointStatus) -> dict[str, Any]:
        """Begin with all sessions at the stage before."""
        return super().beginning(status) | {
            "percent": plain(_ALL),
            "stage": status.stage.before.value,
        }

    def clean(self) -> dict[str, Any]:
        """Ask whether the legacy store shall answer again."""
        given = super().clean() or self.cleaned_data
        stage = given.get("stage")
        if stage and leaves_live(self.status.stage, Stage(stage)) and not given["is_understood"]:
            self.add_error("is_understood", _UNDERSTOOD)
        return given


def leaves_live(before: Stage, after: Stage) -> bool:
    """Tell whether a move back hands reads to the legacy store again."""
    return before.reads is not after.reads


def shown_text(status: EndpointStatus) -> str:
    """Return where an endpoint is, as its form sends it back."""
    return f"{status.stage.value} {plain(status.percent)}"


def plain(percent: Decimal | float) -> str:
    """Return a percentage without zeros at its end."""
    return f"{Decimal(str(percent)).normalize():f}"
