"""``manage.py money_log SESSION``: what was charged, refunded and is owed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError

from funnel.payments.models import ChargeAttempt
from funnel.payments.money_log.checking import check
from funnel.payments.money_log.recording import book_missing
from funnel.payments.money_log.statement import Balance, Statement, statement

if TYPE_CHECKING:
    from argparse import ArgumentParser

_NAME_WIDTH: Final = 36
_WIDTH: Final = 13


class Command(BaseCommand):
    """Print a session's statement, and whether it adds up."""

    help = "Print what a session's shopper was charged, got back and is owed; purged ones too."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the session's id."""
        parser.add_argument(
            "session_id", metavar="SESSION", nargs="?", help="The session's id: ws_…"
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="Print JSON, amounts as text."
        )
        parser.add_argument(
            "--book-missing",
            action="store_true",
            help="Book charges of every session that were settled before there was a log.",
        )

    def handle(
        self, *, session_id: str | None, as_json: bool, book_missing: bool, **_: Any
    ) -> None:
        """Print the statement; fail if it does not add up."""
        if book_missing:
            self._book_missing()
        elif session_id is None:
            message = "Name a session, or give --book-missing."
            raise CommandError(message)
        if session_id is not None:
            self._print(session_id, as_json=as_json)

    def _book_missing(self) -> None:
        self.stdout.write(f"{book_missing()} charges booked.")

    def _print(self, session_id: str, *, as_json: bool) -> None:
        if not ChargeAttempt.objects.filter(session_id=session_id).exists():
            message = f"No charge of {session_id} is on record."
            raise CommandError(message)
        found, problems = statement(session_id), check(session_id)
        if as_json:
            body = found.to_json() | {"problems": problems}
            self.stdout.write(json.dumps(body, indent=2, ensure_ascii=False))
        else:
            self._table(found)
        if problems:
            raise CommandError("It does not add up.\n" + "\n".join(problems))

    def _table(self, found: Statement) -> None:
        heads = ("charged", "refunded", "owed", "net")
        self.stdout.write(f"{'':{_NAME_WIDTH}}" + "".join(f"{head:>{_WIDTH}}" for head in heads))
        for item in found.items:
            name = f"{item.name} (imported)" if item.is_imported else item.name
            self._line(name, item.balance, item.currency)
        for currency, total in found.totals.items():
            self._line("Total", total, currency)
        for charge in found.open_charges:
            amount = "an amount not on record" if charge.amount is None else charge.amount
            self.stdout.write(
                f"May be charged: {charge.purpose}, {amount} {charge.currency} ({charge.state})"
            )
        for purpose in found.unpriced:
            self.stdout.write(f"Paid before the import, amount not on record: {purpose}")

    def _line(self, name: str, balance: Balance, currency: str) -> None:
        amounts = (balance.charged, balance.refunded, balance.owed, balance.net)
        self.stdout.write(
            f"{name[: _NAME_WIDTH - 1]:{_NAME_WIDTH}}"
            + "".join(f"{amount:>{_WIDTH},}" for amount in amounts)
            + f" {currency}"
        )
