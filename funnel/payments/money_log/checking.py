"""Whether the money log, the attempts and their refunds tell the same story."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from funnel.payments.imported import GATEWAY as IMPORTED
from funnel.payments.money_log.recording import is_charged
from funnel.payments.money_log.statement import attempts_of, statement_of
from funnel.payments.refunds.models import Refund

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from funnel.payments.models import ChargeAttempt

_NOTHING: Final = Decimal(0)


def check(session_id: str) -> list[str]:
    """Return what does not add up between the log, the attempts and their refunds; best: nothing.

    Every charged attempt and every succeeded refund is booked with exactly its amount, nothing else
    is, and in all charged less refunded is what the attempts kept.
    """
    return check_attempts(session_id, attempts_of(session_id))


def check_attempts(session_id: str, attempts: Sequence[ChargeAttempt]) -> list[str]:
    """Return the same, of attempts that `attempts_of` returned."""
    # What was settled between the reads of the first look is whole at the second.
    return _check(session_id, attempts) and _check(session_id, attempts_of(session_id))


def _check(session_id: str, attempts: Sequence[ChargeAttempt]) -> list[str]:
    problems = [problem for attempt in attempts for problem in _problems(attempt)]
    kept: dict[str, Decimal] = defaultdict(Decimal)
    for attempt in attempts:
        kept[attempt.currency] += _settled(attempt) - _given_back(attempt)
    for currency, total in statement_of(session_id, attempts).totals.items():
        if total.net != kept[currency]:
            problems.append(
                f"The statement's net is {total.net} {currency}; the attempts kept {kept[currency]}"
            )
    return problems


def _settled(attempt: ChargeAttempt) -> Decimal:
    return attempt.amount or _NOTHING if is_charged(attempt) else _NOTHING


def _given_back(attempt: ChargeAttempt) -> Decimal:
    succeeded = [each for each in attempt.refunds.all() if each.state == Refund.State.SUCCEEDED]
    return sum((each.amount for each in succeeded), _NOTHING)


def _problems(attempt: ChargeAttempt) -> Iterator[str]:
    entries = list(attempt.money_entries.all())
    charged = sum((each.amount for each in entries if each.refund_id is None), _NOTHING)
    if attempt.gateway != IMPORTED and charged != _settled(attempt):
        yield (
            f"Attempt {attempt.pk} ({attempt.purpose}, {attempt.state}): the log has {charged}, "
            f"the attempt {_settled(attempt)} {attempt.currency}"
        )
    if any(each.currency != attempt.currency for each in entries):
        yield f"Attempt {attempt.pk}: entries in another currency than {attempt.currency}"
    for refund in attempt.refunds.all():
        wanted = refund.amount if refund.state == Refund.State.SUCCEEDED else _NOTHING
        booked = -sum((each.amount for each in entries if each.refund_id == refund.pk), _NOTHING)
        if booked != wanted:
            yield (
                f"Refund {refund.pk} of attempt {attempt.pk} ({refund.state}): the log has "
                f"{booked}, the refund {wanted} {attempt.currency}"
            )
