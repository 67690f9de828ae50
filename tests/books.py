"""The shop's books beside the gateway's: each charge has one settled attempt, and the other way."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.models import MoneyEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from funnel.payments.nmi.simulator import Simulator
    from funnel.payments.nmi.simulator.books import Transaction

State = ChargeAttempt.State
TAKEN = {State.SUCCEEDED, State.SURPLUS}
REFUSED = {State.DECLINED, State.REJECTED}


def differences(sim: Simulator) -> list[str]:
    """Return every way in which the two books disagree, to the cent; after recovery: none.

    A charge that is not what was asked (a tampered amount or currency) is never settled: its
    attempt must be in review, and the money log must not have it.
    """
    attempts = {each.gateway_order_id: each for each in ChargeAttempt.objects.filter(gateway="nmi")}
    charges = sim.books.charges
    return [
        *_doubled(charges),
        *_of_charges(attempts, charges),
        *_of_attempts(attempts, {each.order_id for each in charges}),
        *_of_sums(attempts, sim),
    ]


def _doubled(charges: list[Transaction]) -> Iterator[str]:
    for order_id, count in Counter(each.order_id for each in charges).items():
        if count > 1:
            yield f"{order_id} was charged {count} times"


def _of_charges(attempts: dict[str, ChargeAttempt], charges: list[Transaction]) -> Iterator[str]:
    for charge in charges:
        attempt = attempts.get(charge.order_id)
        if attempt is None:
            yield f"charge {charge.order_id} has no attempt"
        elif not is_as_asked(attempt, charge):
            if attempt.state != State.NEEDS_REVIEW:
                yield f"{charge.order_id} is {attempt.state} with another amount or currency"
        elif attempt.state not in TAKEN:
            yield f"{charge.order_id} was charged and is {attempt.state}"
        elif attempt.transaction_id != charge.transaction_id:
            yield f"{charge.order_id} names {attempt.transaction_id}, not {charge.transaction_id}"


def _of_attempts(attempts: dict[str, ChargeAttempt], charged: set[str]) -> Iterator[str]:
    for order_id, attempt in attempts.items():
        if attempt.state in TAKEN and order_id not in charged:
            yield f"{order_id} is {attempt.state} and was never charged"
        if attempt.state in {State.CLAIMED, State.UNKNOWN}:
            yield f"{order_id} is still {attempt.state}"


def _of_sums(attempts: dict[str, ChargeAttempt], sim: Simulator) -> Iterator[str]:
    theirs: dict[str, Decimal] = defaultdict(Decimal)
    for charge in sim.books.charges:
        attempt = attempts.get(charge.order_id)
        if attempt is not None and is_as_asked(attempt, charge):
            theirs[charge.currency] += charge.amount
    ours: dict[str, Decimal] = defaultdict(Decimal)
    for entry in MoneyEntry.objects.filter(attempt__gateway="nmi"):
        ours[entry.currency] += entry.amount
    for currency in theirs.keys() | ours.keys():
        if theirs[currency] != ours[currency]:
            yield f"{currency}: theirs {theirs[currency]}, ours {ours[currency]}"


def is_as_asked(attempt: ChargeAttempt, charge: Transaction) -> bool:
    """Tell whether a charge is of the attempt's amount and currency."""
    return (charge.amount, charge.currency) == (attempt.amount, attempt.currency)
