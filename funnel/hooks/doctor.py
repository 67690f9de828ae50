"""The doctor's line on orders handed on: what waits, and what failed."""

from __future__ import annotations

from typing import Final

from funnel.conf import get_conf
from funnel.hooks import metrics
from sessions_unified.doctor.findings import Check, Finding, Stopwatch, ok, warned
from sessions_unified.monitoring.vitals import short_statements
from sessions_unified.tiers import get_tiers

# Beat wakes a worker every ten seconds.
_LATE_SECONDS: Final = 300
_RUNBOOK: Final = "hook-deliveries-failed"
_LATE_RUNBOOK: Final = "hook-deliveries-late"


def _look() -> Finding:
    tiers, watch = get_tiers(), Stopwatch()
    with short_statements(tiers.database.alias):
        samples = metrics.measure(tiers)
    ms = watch.ms
    pending = sum(value for what, _, value in samples if what is metrics.PENDING)
    failed = sum(value for what, _, value in samples if what is metrics.FAILED)
    oldest = max((value for what, _, value in samples if what is metrics.OLDEST), default=0.0)
    if not samples and not get_conf().HOOKS:
        return ok("orders are handed on to nobody", ms=ms)
    if failed:
        advice = "Mend the target, then run manage.py replay_hooks."
        return warned(f"{failed:,.0f} failed in all tries", advice, _RUNBOOK, ms=ms)
    text = f"{pending:,.0f} to deliver"
    if pending:
        text += f", the oldest for {oldest:,.0f} s"
    if oldest < _LATE_SECONDS:
        return ok(text, ms=ms)
    return warned(text, "Are beat and a worker running, and the target?", _LATE_RUNBOOK, ms=ms)


CHECK: Final = Check(
    name="hooks",
    look=_look,
    advice="What waits could not be counted in time.",
    runbook=_LATE_RUNBOOK,
    needs="database",
)
