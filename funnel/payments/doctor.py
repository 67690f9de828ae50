"""The doctor's line on money: charges and refunds that wait for a person, or for the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from funnel.payments import metrics
from funnel.payments.models import ChargeAttempt
from funnel.payments.refunds.models import Refund
from sessions_unified.doctor.findings import Check, Finding, Stopwatch, ok, warned
from sessions_unified.monitoring.vitals import short_statements
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from sessions_unified.metrics import Measured

# By then the sweeper has settled a charge or handed it to a person, as in the alerts.
_LATE_SECONDS: Final = 3600
_REVIEW: Final = ChargeAttempt.State.NEEDS_REVIEW.value
_RUNBOOK: Final = "charges-in-review"
_REFUNDS_RUNBOOK: Final = "refunds-in-review"
_UNKNOWN_RUNBOOK: Final = "charges-unknown"


def _look() -> Finding:
    tiers, watch = get_tiers(), Stopwatch()
    with short_statements(tiers.database.alias):
        found = {(what, labels): value for what, labels, value in metrics.measure(tiers)}
    ms = watch.ms
    charges = found[metrics.OPEN_CHARGES, (_REVIEW,)]
    refunds = found[metrics.OPEN_REFUNDS, (_REVIEW,)]
    if charges or refunds:
        text = f"in review: charges {charges:,.0f}, refunds {refunds:,.0f}"
        advice = "A person has to decide. The admin's first page leads to them."
        return warned(text, advice, _RUNBOOK if charges else _REFUNDS_RUNBOOK, ms=ms)
    oldest = max(_ages(found), default=0.0)
    asked_for = sum(
        value
        for (what, _), value in found.items()
        if what in {metrics.OPEN_CHARGES, metrics.OPEN_REFUNDS}
    )
    text = f"{asked_for:,.0f} under way or unknown"
    if oldest < _LATE_SECONDS:
        return ok(text, ms=ms)
    text += f", the oldest for {oldest / 60:,.0f} min"
    return warned(text, "Run manage.py ask_gateway, and see what it says.", _UNKNOWN_RUNBOOK, ms=ms)


def _ages(found: dict[tuple[Measured, tuple[str, ...]], float]) -> list[float]:
    oldest = {metrics.OLDEST_OPEN_CHARGE, metrics.OLDEST_OPEN_REFUND}
    asked_for = {state.value for state in (*ChargeAttempt.OPEN, *Refund.OPEN)} - {_REVIEW}
    return [
        value
        for (what, labels), value in found.items()
        if what in oldest and labels[0] in asked_for
    ]


CHECK: Final = Check(
    name="payments",
    look=_look,
    advice="What is open could not be counted in time.",
    runbook=_UNKNOWN_RUNBOOK,
    needs="database",
)
