"""The simulator's own books: what was really charged, whatever anybody was told."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from funnel.payments.nmi.simulator.journal import Journal
from funnel.payments.nmi.simulator.records import (
    CANCELED,
    FAILED,
    PENDING,
    SETTLED,
    Action,
    Charge,
    Transaction,
    as_json,
    from_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST_ID: Final = 20_000_000_000


class BooksError(Exception):
    """The books refuse this; the message is what the gateway says."""


class Books:
    """All transactions and stored cards; thread-safe, and durable where a journal is kept.

    Args:
        path: the journal; None: memory only.
        now: seconds since the epoch.

    """

    def __init__(self, path: Path | None = None, *, now: Callable[[], float] = time.time) -> None:
        self._lock = threading.RLock()
        self._now = now
        self._transactions: dict[str, Transaction] = {}
        self._vault: dict[str, str] = {}
        self._hidden: dict[str, int] = defaultdict(int)
        self._journal = Journal(path)
        for line in self._journal.read():
            self._apply(line)
        # Later than the ids of books that are gone, whose transactions a shop may still know.
        started = FIRST_ID + int(now() * 10) % FIRST_ID
        self._ids = itertools.count(max([started, *map(int, self._transactions)]) + 1)

    # Reading

    @property
    def transactions(self) -> list[Transaction]:
        """Every record, oldest first."""
        with self._lock:
            return list(self._transactions.values())

    @property
    def charges(self) -> list[Transaction]:
        """What took money and has not been voided."""
        return [each for each in self.transactions if each.is_charge]

    @property
    def refunds(self) -> list[Transaction]:
        """What was given back after the sale."""
        return [each for each in self.transactions if each.kind == "refund"]

    def totals(self) -> dict[str, Decimal]:
        """Return currency → what was taken and not given back."""
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for each in self.transactions:
            if each.is_charge:
                sums[each.currency] += each.amount
            elif each.kind == "refund":
                sums[each.currency] -= each.amount
        return dict(sums)

    def of_order(self, order_id: str) -> list[Transaction]:
        """Return the records of an order id, hidden or not."""
        return [each for each in self.transactions if each.order_id == order_id]

    def get(self, transaction_id: str) -> Transaction | None:
        """Return one record."""
        with self._lock:
            return self._transactions.get(transaction_id)

    def stored_card(self, vault_id: str) -> str | None:
        """Return the masked card of a vault id; None: there is none."""
        with self._lock:
            return self._vault.get(vault_id)

    def look_up(self, *, order_id: str = "", transaction_id: str = "") -> list[Transaction]:
        """Return what a query finds; a hidden record is counted down and left out."""
        with self._lock:
            found = [
                each
                for each in self._transactions.values()
                if (order_id and each.order_id == order_id)
                or (transaction_id and each.transaction_id == transaction_id)
            ]
            return [each for each in found if not self._still_hidden(each.transaction_id)]

    # Writing

    def charge(self, wanted: Charge, *, dup_seconds: int = 0) -> Transaction:
        """Book a sale, and store its card.

        Raises:
            BooksError: the card was charged the same amount within ``dup_seconds``, or its vault
                id is taken.

        """
        with self._lock:
            if wanted.stores_card and wanted.vault_id in self._vault:
                raise BooksError("Duplicate Customer Vault Id REFID:{id}")
            if dup_seconds and self._is_repeated(wanted, dup_seconds):
                raise BooksError("Duplicate transaction REFID:{id}")
            made = self._book(wanted, condition=PENDING)
            self._hidden[made.transaction_id] = wanted.hidden_calls
            if wanted.stores_card:
                self._write({"vault": wanted.vault_id, "card": wanted.card})
            return made

    def decline(self, wanted: Charge) -> Transaction:
        """Book a sale that failed: it took nothing and stores nothing."""
        with self._lock:
            return self._book(wanted, condition=FAILED)

    def void(self, transaction_id: str, *, order_id: str = "") -> Transaction:
        """Undo a sale, or a refund, that is not settled.

        Raises:
            BooksError: there is nothing to undo.

        """
        with self._lock:
            sale = self._get(transaction_id)
            if sale.condition != PENDING or self._refunded(transaction_id):
                raise BooksError("Only transactions pending settlement can be voided REFID:{id}")
            action = self._action("void", order_id, sale.amount)
            voided = replace(sale, condition=CANCELED, actions=(*sale.actions, action))
            return self._keep(voided)

    def refund(
        self, transaction_id: str, amount: Decimal | None = None, *, order_id: str = ""
    ) -> Transaction:
        """Give back a part of a sale, or all that is left of it (``amount`` is None).

        Raises:
            BooksError: there isn't as much to give back.

        """
        with self._lock:
            sale = self._get(transaction_id)
            if not sale.is_charge:
                raise BooksError("Only successful sales can be refunded REFID:{id}")
            left = sale.amount - self._refunded(transaction_id)
            amount = left if amount is None else amount
            if not 0 < amount <= left:
                raise BooksError("Refund amount may not exceed the transaction balance REFID:{id}")
            made = replace(
                sale,
                transaction_id=str(next(self._ids)),
                order_id=order_id,
                amount=amount,
                asked=amount,
                condition=PENDING,
                made_at=self._now(),
                original_id=transaction_id,
                actions=(self._action("refund", order_id, amount),),
            )
            return self._keep(made)

    def settle(self, transaction_id: str | None = None) -> list[Transaction]:
        """Settle one record, or all that are pending, as NMI does at night."""
        with self._lock:
            chosen = self.transactions if transaction_id is None else [self._get(transaction_id)]
            pending = [each for each in chosen if each.condition == PENDING]
            return [self._keep(replace(each, condition=SETTLED)) for each in pending]

    def forget_card(self, vault_id: str) -> None:
        """Delete a stored card.

        Raises:
            BooksError: there is none.

        """
        with self._lock:
            if vault_id not in self._vault:
                raise BooksError("Invalid Customer Vault Id REFID:{id}")
            self._write({"vault": vault_id, "card": None})

    def reset(self) -> None:
        """Forget everything; transaction ids go on."""
        with self._lock:
            self._write({"reset": True})

    def next_id(self) -> str:
        """Return a number that nothing else has."""
        with self._lock:
            return str(next(self._ids))

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    # Inside

    def _get(self, transaction_id: str) -> Transaction:
        found = self._transactions.get(transaction_id)
        if found is None:
            raise BooksError("Invalid Transaction ID REFID:{id}")
        return found

    def _refunded(self, transaction_id: str) -> Decimal:
        given = (
            each.amount
            for each in self._transactions.values()
            if each.original_id == transaction_id and each.condition != CANCELED
        )
        return sum(given, Decimal(0))

    def _is_repeated(self, wanted: Charge, seconds: int) -> bool:
        since = self._now() - seconds
        return any(
            each.is_charge
            and each.made_at > since
            and (each.card, each.asked) == (wanted.card, wanted.asked)
            for each in self._transactions.values()
        )

    def _still_hidden(self, transaction_id: str) -> bool:
        left = self._hidden.get(transaction_id, 0)
        if left:
            self._hidden[transaction_id] = left - 1
        return left > 0

    def _action(self, kind: str, order_id: str, amount: Decimal) -> Action:
        at = datetime.fromtimestamp(self._now(), tz=UTC)
        return Action(kind=kind, order_id=order_id, amount=amount, at=f"{at:%Y%m%d%H%M%S}")

    def _book(self, wanted: Charge, *, condition: str) -> Transaction:
        is_good = condition == PENDING
        action = replace(
            self._action("sale", wanted.order_id, wanted.amount),
            success=is_good,
            text="SUCCESS" if is_good else wanted.text,
            code="100" if is_good else wanted.code,
        )
        made = Transaction(
            transaction_id=str(next(self._ids)),
            order_id=wanted.order_id,
            amount=wanted.amount,
            asked=wanted.asked,
            currency=wanted.currency,
            card=wanted.card,
            card_type=wanted.card_type,
            vault_id=wanted.vault_id,
            condition=condition,
            authcode="123456" if is_good else "",
            made_at=self._now(),
            actions=(action,),
        )
        return self._keep(made)

    def _keep(self, transaction: Transaction) -> Transaction:
        self._write({"transaction": as_json(transaction)})
        return transaction

    def _write(self, line: dict[str, object]) -> None:
        """Write down first, then believe it: what is answered is on paper."""
        self._journal.write(line)
        self._apply(line)

    def _apply(self, line: dict[str, object]) -> None:
        if "reset" in line:
            self._transactions.clear()
            self._vault.clear()
            self._hidden.clear()
        elif "vault" in line:
            vault_id, card = str(line["vault"]), line["card"]
            self._vault.pop(vault_id, None)
            if card is not None:
                self._vault[vault_id] = str(card)
        else:
            transaction = from_json(line["transaction"])
            self._transactions[transaction.transaction_id] = transaction
