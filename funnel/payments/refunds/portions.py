"""What is left of a charge to give back, and which of its lines an amount goes to."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from funnel.exceptions import RefundRefusedError
from funnel.payments.lines import from_json
from funnel.payments.money_log.recording import lines_of
from funnel.payments.refunds.models import Refund
from sessions_unified.money import exponent, quantize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from funnel.payments.lines import Line
    from funnel.payments.models import ChargeAttempt

_COUNTED = (*Refund.OPEN, Refund.State.SUCCEEDED)


@dataclass(frozen=True, kw_only=True)
class Portion:
    """Some of one line of a charge.

    Attributes:
        place: the line's, among those of the charge.
        line: as it was charged.
        amount: how much of it.

    """

    place: int
    line: Line
    amount: Decimal

    def to_json(self) -> dict[str, Any]:
        """Return the portion as a refund keeps it: a line, and which one it is of."""
        return {**replace(self.line, amount=self.amount).to_json(), "line": self.place}


def left_of(attempt: ChargeAttempt) -> tuple[Portion, ...]:
    """Return what is left of each line. What refunds under way will give back is not left."""
    gone: dict[int, Decimal] = defaultdict(Decimal)
    for refund in (each for each in attempt.refunds.all() if each.state in _COUNTED):
        for kept, line in zip(refund.lines, from_json(refund.lines), strict=True):
            gone[kept["line"]] += line.amount
    return tuple(
        Portion(place=place, line=line, amount=line.amount - gone[place])
        for place, line in enumerate(lines_of(attempt))
    )


def total(portions: Sequence[Portion]) -> Decimal:
    """Return what the portions add up to."""
    return sum((each.amount for each in portions), Decimal(0))


def choose(attempt: ChargeAttempt, wanted: Mapping[int, Decimal] | None) -> tuple[Portion, ...]:
    """Return the portions to give back: amounts by the line's place; None: all that is left.

    Raises:
        RefundRefusedError: there is no such line, or not as much is left.

    """
    left = left_of(attempt)
    if wanted is None:
        chosen = tuple(each for each in left if each.amount)
        _check_total(attempt, total(chosen), total(left))
        return chosen
    by_place = {each.place: each for each in left}
    chosen = tuple(_portion(attempt, by_place, *each) for each in sorted(wanted.items()))
    _check_total(attempt, total(chosen), total(left))
    return chosen


def spread(attempt: ChargeAttempt, amount: Decimal) -> tuple[Portion, ...]:
    """Return portions of an amount that somebody else gave back, from the first line on.

    More than is left goes to the first line: it was given back, so the log has to say it.
    """
    left = left_of(attempt)
    if amount == total(left):
        return tuple(each for each in left if each.amount)
    portions, rest = [], amount
    for each in left:
        taken = min(rest, max(each.amount, Decimal(0)))
        rest -= taken
        portions.append(replace(each, amount=taken))
    portions[0] = replace(portions[0], amount=portions[0].amount + rest)
    return tuple(each for each in portions if each.amount)


def _portion(
    attempt: ChargeAttempt, left: Mapping[int, Portion], place: int, amount: Decimal
) -> Portion:
    if place not in left:
        message = f"The charge has no line {place}."
        raise RefundRefusedError(message)
    if not amount.is_finite() or amount <= 0:
        message = "An amount to give back is above 0."
        raise RefundRefusedError(message)
    if quantize(amount, attempt.currency) != amount:
        message = f"{attempt.currency} has {exponent(attempt.currency)} decimals."
        raise RefundRefusedError(message)
    portion = left[place]
    if amount > portion.amount:
        message = (
            f"Only {quantize(portion.amount, attempt.currency)} {attempt.currency} of "
            f"{portion.line.name} are left to give back."
        )
        raise RefundRefusedError(message)
    return replace(portion, amount=quantize(amount, attempt.currency))


def _check_total(attempt: ChargeAttempt, asked: Decimal, left: Decimal) -> None:
    if left <= 0:
        message = "Nothing is left to give back."
        raise RefundRefusedError(message)
    if asked <= 0 or asked > left:
        message = (
            f"Only {quantize(left, attempt.currency)} {attempt.currency} of the charge are left "
            "to give back."
        )
        raise RefundRefusedError(message)
