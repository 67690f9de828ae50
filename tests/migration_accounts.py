"""What must hold when a shop has been moved: the two books of money, the two sides, the marks."""

from __future__ import annotations

import time
from collections import Counter

from funnel.payments.models import ChargeAttempt
from funnel.payments.sandbox.models import SandboxCharge
from legacy_adapters.models import StageChange, WriteMark
from legacy_adapters.tables import rows
from legacy_adapters.verifying import Scope, verify
from sessions_unified.tiers import get_tiers
from tests.migrating import table

State = ChargeAttempt.State


def undone() -> list[str]:
    """Return what waits for a repair, and the charges that wait for their outcome."""
    marks = WriteMark.objects.values_list("session_id", "side", "attempts", "is_dead", "problem")
    charges = ChargeAttempt.objects.filter(state__in=[State.CLAIMED, State.UNKNOWN])
    found = [f"marked: {each}" for each in marks]
    return found + [f"{each.session_id}: {each.purpose} is {each.state}" for each in charges]


def wait_until_drained(*, seconds: float = 60) -> None:
    """Wait until the worker has repaired everything, and knows what became of each charge."""
    deadline = time.monotonic() + seconds
    while left := undone():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def money_problems() -> list[str]:
    """Return where the gateway's books and the shop's are not the same, charge by charge.

    Each charge that was not given back pays for one thing, and each thing was paid by one. One
    that is `surplus` is a problem: none of these shoppers does what explains it.
    """
    given_back = {State.VOIDED, State.REFUNDED}
    attempts = ChargeAttempt.objects.exclude(gateway="imported")
    booked = {each.gateway_order_id: each for each in attempts}
    charged = set(SandboxCharge.objects.values_list("order_id", flat=True))
    taken = [each for each in ChargeAttempt.objects.all() if each.state == State.SUCCEEDED]
    found = [
        f"{session_id} paid {times} times: {purpose}"
        for (session_id, purpose), times in Counter(
            (each.session_id, each.purpose) for each in taken
        ).items()
        if times > 1
    ]
    for order_id in sorted(charged):
        attempt = booked.get(order_id)
        state = None if attempt is None else attempt.state
        if state not in {State.SUCCEEDED, *given_back}:
            found.append(f"{order_id} was charged, and is {state}")
    return found + [
        f"{each.gateway_order_id} is taken for paid, and was not charged"
        for each in taken
        if each.gateway != "imported" and each.gateway_order_id not in charged
    ]


def disagreements() -> list[str]:
    """Return what a full `verify_sessions` finds to differ."""
    report = verify(get_tiers(), table(), Scope(), recheck_seconds=1)
    if not report.disagreements:
        return []
    found = [each for kept in report.findings.values() for each in kept]
    return [f"{each.kind}: {each.id}: {', '.join(each.fields)} {each.evidence}" for each in found]


def demotions() -> list[str]:
    """Return the moves that nobody made: what is broken here is no reason for one."""
    return [f"{each}: {each.reason}" for each in rows(StageChange).filter(is_automatic=True)]
