"""A session's money: what was charged, refunded and is owed, for each product and offer."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Prefetch

from funnel.payments.imported import GATEWAY as IMPORTED
from funnel.payments.lines import from_json
from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.models import MoneyEntry
from funnel.payments.money_log.recording import CHARGED_STATES, is_charged, lines_of
from funnel.payments.refunds.models import Refund
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from funnel.payments.lines import Line

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Amounts of one item, or of a currency in all.

    Attributes:
        owed: what the shop still has to give back: surplus charges, and refunds under way.

    """

    charged: Decimal = _NOTHING
    refunded: Decimal = _NOTHING
    owed: Decimal = _NOTHING

    def __add__(self, other: Balance) -> Balance:
        return Balance(
            charged=self.charged + other.charged,
            refunded=self.refunded + other.refunded,
            owed=self.owed + other.owed,
        )

    @property
    def net(self) -> Decimal:
        """What the shop has kept: charged less refunded."""
        return self.charged - self.refunded

    def rounded(self, currency: str) -> Balance:
        """Return it with exactly the currency's decimals."""
        return Balance(
            charged=quantize(self.charged, currency),
            refunded=quantize(self.refunded, currency),
            owed=quantize(self.owed, currency),
        )


@dataclass(frozen=True, kw_only=True)
class Item:
    """A product, an offer, or what an order has beside them.

    Attributes:
        kind: as `funnel.payments.lines.Line`; ``order`` where no lines are on record.
        is_imported: another shop system charged it.

    """

    kind: str
    item: str
    name: str
    currency: str
    is_imported: bool
    balance: Balance


@dataclass(frozen=True, kw_only=True)
class OpenCharge:
    """A charge whose outcome is not known: it may have been made; ``amount`` None: not on record.

    It is in no total.
    """

    purpose: str
    state: str
    currency: str
    amount: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What a session's shopper paid and got back.

    Attributes:
        items: in the order in which they were first charged.
        totals: currency → balance of everything in ``items``.
        open_charges: what may have been charged besides.
        unpriced: purposes that another shop system charged, without an amount on record; they are
            paid, and in no total.

    """

    session_id: str
    items: tuple[Item, ...]
    totals: dict[str, Balance]
    open_charges: tuple[OpenCharge, ...]
    unpriced: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON; amounts as text, exactly."""
        return {
            "session": self.session_id,
            "items": [
                {
                    "kind": each.kind,
                    "item": each.item,
                    "name": each.name,
                    "currency": each.currency,
                    "imported": each.is_imported,
                    **_texts(each.balance),
                }
                for each in self.items
            ],
            "totals": {currency: _texts(balance) for currency, balance in self.totals.items()},
            "mayBeCharged": [
                {
                    "purpose": each.purpose,
                    "state": each.state,
                    "currency": each.currency,
                    "amount": None if each.amount is None else str(each.amount),
                }
                for each in self.open_charges
            ],
            "withoutAmount": list(self.unpriced),
        }


@dataclass(frozen=True, kw_only=True)
class _Posting:
    """One amount of one item; what a statement adds up."""

    kind: str
    item: str
    name: str
    currency: str
    is_imported: bool = False
    balance: Balance = field(default_factory=Balance)

    @property
    def key(self) -> tuple[str, str, str, bool]:
        return self.kind, self.item, self.currency, self.is_imported


def statement(session_id: str) -> Statement:
    """Return the statement of a session; it may be purged or deleted: the books outlive it."""
    return statement_of(session_id, attempts_of(session_id))


def statement_of(session_id: str, attempts: Sequence[ChargeAttempt]) -> Statement:
    """Return the statement of a session's attempts, as `attempts_of` returned them."""
    postings = [posting for attempt in attempts for posting in _postings(attempt)]
    totals: dict[str, Balance] = defaultdict(Balance)
    for posting in postings:
        totals[posting.currency] += posting.balance
    return Statement(
        session_id=session_id,
        items=tuple(_items(postings)),
        totals={currency: total.rounded(currency) for currency, total in totals.items()},
        open_charges=tuple(_open_charge(each) for each in attempts if each.is_open),
        unpriced=tuple(
            each.purpose
            for each in attempts
            if each.gateway == IMPORTED and each.amount is None and is_charged(each)
        ),
    )


def attempts_of(session_id: str) -> list[ChargeAttempt]:
    """Return a session's attempts, with their entries and refunds loaded."""
    entries = Prefetch("money_entries", MoneyEntry.objects.order_by("pk"))
    found = ChargeAttempt.objects.filter(session_id=session_id).order_by("created_at", "pk")
    return list(found.prefetch_related(entries, "refunds"))


def _items(postings: Iterable[_Posting]) -> Iterator[Item]:
    grouped: dict[tuple[str, str, str, bool], list[_Posting]] = {}
    for posting in postings:
        grouped.setdefault(posting.key, []).append(posting)
    for (kind, item, currency, is_imported), same in grouped.items():
        balance = sum((posting.balance for posting in same), Balance())
        yield Item(
            kind=kind,
            item=item,
            name=same[0].name or item,
            currency=currency,
            is_imported=is_imported,
            balance=balance.rounded(currency),
        )


def _postings(attempt: ChargeAttempt) -> Iterator[_Posting]:
    entries = list(attempt.money_entries.all())
    for entry in entries:
        yield _Posting(
            kind=entry.item_kind,
            item=entry.item,
            name=entry.name,
            currency=entry.currency,
            balance=_balance(entry),
        )
    # Another shop's charges, and those from before the log: counted from the attempt itself.
    if _is_unbooked(attempt, entries) and attempt.amount is not None:
        for line in lines_of(attempt):
            yield _Posting(
                kind=line.kind,
                item=line.item,
                name=line.name,
                currency=attempt.currency,
                is_imported=attempt.gateway == IMPORTED,
                balance=Balance(charged=line.amount),
            )
    yield from _owed(attempt)


def _is_unbooked(attempt: ChargeAttempt, entries: Iterable[MoneyEntry]) -> bool:
    return attempt.state in CHARGED_STATES and not any(each.refund_id is None for each in entries)


def _balance(entry: MoneyEntry) -> Balance:
    if entry.refund_id is None:
        return Balance(charged=entry.amount)
    return Balance(refunded=-entry.amount)


def _owed(attempt: ChargeAttempt) -> Iterator[_Posting]:
    """Yield what is owed: of a surplus charge all that is left, of others the refunds under way."""
    given_back: dict[int, Decimal] = defaultdict(Decimal)
    for refund in attempt.refunds.all():
        is_owed = refund.is_open and attempt.state != ChargeAttempt.State.SURPLUS
        for kept, line in zip(refund.lines, from_json(refund.lines), strict=True):
            if is_owed:
                yield _posting_of_line(attempt, line, line.amount)
            elif refund.state == Refund.State.SUCCEEDED:
                given_back[kept["line"]] += line.amount
    if attempt.state == ChargeAttempt.State.SURPLUS and attempt.amount is not None:
        for place, line in enumerate(lines_of(attempt)):
            if left := line.amount - given_back[place]:
                yield _posting_of_line(attempt, line, left)


def _posting_of_line(attempt: ChargeAttempt, line: Line, owed: Decimal) -> _Posting:
    return _Posting(
        kind=line.kind,
        item=line.item,
        name=line.name,
        currency=attempt.currency,
        is_imported=attempt.gateway == IMPORTED,
        balance=Balance(owed=owed),
    )


def _open_charge(attempt: ChargeAttempt) -> OpenCharge:
    return OpenCharge(
        purpose=attempt.purpose,
        state=attempt.state,
        currency=attempt.currency,
        amount=None if attempt.amount is None else attempt.money,
    )


def _texts(balance: Balance) -> dict[str, str]:
    return {
        "charged": str(balance.charged),
        "refunded": str(balance.refunded),
        "owed": str(balance.owed),
        "net": str(balance.net),
    }
