"""Write the money log: what an attempt charged and what a refund gave back, line by line.

Called inside the transactions that settle them, under the attempt's lock. Nothing that is on
record may stop a success from being settled: what cannot be split into lines is booked whole, and
what the database refuses is logged for `checking.check` to find.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Exists, OuterRef, Sum

from funnel.catalog import offer_name
from funnel.payments.imported import GATEWAY as IMPORTED
from funnel.payments.lines import OFFER, Line, from_json
from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.models import MoneyEntry
from funnel.payments.refunds.models import Refund
from sessions_unified.clock import get_clock
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = logging.getLogger(__name__)

State = ChargeAttempt.State
ORDER: Final = "order"
CHARGED_STATES: Final = (State.SUCCEEDED, State.SURPLUS, State.REFUNDED)
_MAX_TEXT: Final = 16
_MAX_LINES: Final = 32_767
_MAX_QUANTITY: Final = 2**31 - 1
_MAX_AMOUNT: Final = Decimal(10) ** 15


def book_attempt(attempt: ChargeAttempt, *, actor: str) -> None:
    """Book what the attempt's state says was charged. Repeating it adds nothing.

    An attempt that is not charged after all (a success found wrong, a void) is booked back by
    entries of kind ``void`` that belong to no refund.

    Raises:
        OperationalError: the database is away; the whole transaction has to be tried again.

    """
    if attempt.gateway == IMPORTED:
        return  # another shop's books
    _guarded(attempt, lambda: _book_difference(attempt, actor))


def book_refund(refund: Refund, *, actor: str) -> None:
    """Book what a succeeded refund gave back. Repeating it adds nothing.

    Raises:
        OperationalError: as `book_attempt`.

    """
    _guarded(refund, lambda: _book_refund(refund, actor))


def is_charged(attempt: ChargeAttempt) -> bool:
    """Tell whether money was taken, given back since or not.

    A void that is no refund of ours, as when the gateway tells of a sale and its void at once,
    leaves nothing that was charged.
    """
    if attempt.state == State.VOIDED:
        return attempt.refunds.filter(state=Refund.State.SUCCEEDED).exists()
    return attempt.state in CHARGED_STATES


def lines_of(attempt: ChargeAttempt) -> tuple[Line, ...]:
    """Return what the attempt's amount is for; lines that add up to it exactly.

    One line of the whole amount where the attempt has none (older ones) or they do not add up.

    Raises:
        ValueError: the amount is not on record.

    """
    try:
        lines = from_json(attempt.lines)
        if _are_bookable(lines, attempt):
            return lines
    except (ArithmeticError, KeyError, TypeError, ValueError):
        pass
    return (whole_line(attempt),)


def whole_line(attempt: ChargeAttempt) -> Line:
    """Return one line of the attempt's whole amount."""
    amount = attempt.money
    item = attempt.offer_id
    if item is None:
        return Line(kind=ORDER, item="", name="The order", quantity=1, amount=amount)
    return Line(kind=OFFER, item=item, name=offer_name(item), quantity=1, amount=amount)


def book_missing(*, batch_size: int = 500) -> int:
    """Book charged attempts that have no entry, as those from before the log; return how many."""
    booked = 0
    last = 0
    missing = (
        ChargeAttempt.objects.filter(state__in=CHARGED_STATES)
        .exclude(gateway=IMPORTED)
        .exclude(Exists(MoneyEntry.objects.filter(attempt=OuterRef("pk"))))
        .order_by("pk")
    )
    while ids := list(missing.filter(pk__gt=last).values_list("pk", flat=True)[:batch_size]):
        last = ids[-1]
        with transaction.atomic():
            for attempt in ChargeAttempt.objects.select_for_update().filter(pk__in=ids):
                book_attempt(attempt, actor="money_log")
                booked += 1
    return booked


def _guarded(row: ChargeAttempt | Refund, book: Any) -> None:
    try:
        with transaction.atomic():
            book()
    except OperationalError:
        raise
    except DatabaseError:
        # The money was taken or given back, so the transaction goes on; the check names the gap.
        logger.exception("The money log refused %s %s", type(row).__name__, row.pk)


def _are_bookable(lines: Sequence[Line], attempt: ChargeAttempt) -> bool:
    return (
        0 < len(lines) <= _MAX_LINES
        and all(_fits(line, attempt.currency) for line in lines)
        and sum(line.amount for line in lines) == attempt.money
    )


def _fits(line: Line, currency: str) -> bool:
    texts: tuple[object, ...] = (line.kind, line.item, line.name)  # JSON may hold anything
    quantity: object = line.quantity
    return (
        all(isinstance(text, str) for text in texts)
        and len(line.kind) <= _MAX_TEXT
        and isinstance(quantity, int)
        and abs(line.quantity) <= _MAX_QUANTITY
        and line.amount.is_finite()
        and abs(line.amount) < _MAX_AMOUNT
        and quantize(line.amount, currency) == line.amount
    )


def _book_difference(attempt: ChargeAttempt, actor: str) -> None:
    lines = lines_of(attempt)
    wanted = {place: line.amount for place, line in enumerate(lines)} if is_charged(attempt) else {}
    entries = MoneyEntry.objects.filter(attempt=attempt, refund=None)
    booked: Mapping[int, Decimal] = dict(
        entries.values_list("line").annotate(Sum("amount")).order_by("line")
    )
    new = []
    for place in sorted({*wanted, *booked}):
        amount = wanted.get(place, Decimal(0)) - booked.get(place, Decimal(0))
        if amount == 0 and place in booked:
            continue
        line = lines[place] if place < len(lines) else whole_line(attempt)
        kind = MoneyEntry.Kind.VOID if place in booked else MoneyEntry.Kind.CHARGE
        new.append(_entry(attempt, line, kind=kind, place=place, amount=amount, actor=actor))
    MoneyEntry.objects.bulk_create(new)


def _book_refund(refund: Refund, actor: str) -> None:
    if refund.money_entries.exists():
        return
    attempt = refund.attempt
    kept: list[dict[str, Any]] = refund.lines
    lines = from_json(kept)
    MoneyEntry.objects.bulk_create(
        _entry(
            attempt,
            line,
            kind=refund.kind,
            place=each["line"],
            amount=-line.amount,
            actor=actor,
            refund=refund,
        )
        for each, line in zip(kept, lines, strict=True)
    )


def _entry(
    attempt: ChargeAttempt,
    line: Line,
    *,
    kind: str,
    place: int,
    amount: Decimal,
    actor: str,
    refund: Refund | None = None,
) -> MoneyEntry:
    return MoneyEntry(
        session_id=attempt.session_id,
        attempt=attempt,
        refund=refund,
        kind=kind,
        purpose=attempt.purpose,
        line=place,
        item_kind=line.kind,
        item=line.item,
        name=line.name,
        quantity=line.quantity,
        amount=amount,
        currency=attempt.currency,
        actor=actor[:150],
        at=get_clock().now(),
    )
