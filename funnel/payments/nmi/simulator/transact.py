"""``transact.php``: sales, voids and refunds, done as the mode in force says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from funnel.payments.nmi.simulator.books import Books, BooksError
from funnel.payments.nmi.simulator.cards import MATCHING_CVV, TestCard, find_card, unmask
from funnel.payments.nmi.simulator.modes import Mode, Modes, Scope
from funnel.payments.nmi.simulator.records import Charge, Transaction
from funnel.payments.nmi.simulator.replies import Reply, form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from funnel.payments.nmi.simulator.tokens import Tokenized, Tokens
    from funnel.payments.nmi.simulator.webhooks import Webhooks

LOWEST_APPROVED: Final = Decimal("1.00")
_AMOUNT: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,3})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class RefusedError(Exception):
    """The request cannot be taken; the message is the ``responsetext``."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the card of a sale comes from."""

    card: TestCard
    scope: Scope
    cvv: str = ""
    token: str = ""


class Transact:
    """Does what ``transact.php`` does.

    A void is a second action of the sale's record, which keeps its transaction id and order id; a
    refund is a record of its own, which names the sale as its original.

    Args:
        dup_seconds: the account's window for duplicates, where a request names none; 0: none.
        unknown_vault: the card of vault ids that were never stored here, as an imported shopper's;
            None: they are refused.

    """

    def __init__(
        self,
        *,
        books: Books,
        tokens: Tokens,
        modes: Modes,
        webhooks: Webhooks,
        dup_seconds: int = 0,
        unknown_vault: TestCard | None = None,
    ) -> None:
        self._books = books
        self._tokens = tokens
        self._modes = modes
        self._webhooks = webhooks
        self._dup_seconds = dup_seconds
        self._unknown_vault = unknown_vault

    def answer(self, fields: Mapping[str, str]) -> Reply:
        """Take one request, whose security key is right."""
        kinds: dict[str, Callable[[Mapping[str, str]], Reply]] = {
            "sale": self._sale,
            "void": self._reversal,
            "refund": self._reversal,
        }
        if fields.get("customer_vault") == "delete_customer":
            kinds[""] = self._forget_card
        kind = kinds.get(fields.get("type", ""), _unknown_type)
        try:
            return kind(fields)
        except (RefusedError, BooksError) as exc:
            return self._refused(str(exc), fields)

    # Sales

    def _sale(self, fields: Mapping[str, str]) -> Reply:
        source = self._source(fields)
        amount, currency = _amount(fields), _currency(fields)
        mode = self._modes.take(source.scope, source.card)
        if mode.decision == "refuse":
            return self._told(mode, fields, None)
        stores_card = fields.get("customer_vault") == "add_customer"
        vault_id = fields.get("customer_vault_id", "")
        if stores_card and not vault_id:
            vault_id = self._books.next_id()
        wanted = Charge(
            order_id=fields.get("orderid", ""),
            amount=amount + 1 if mode.tampers == "amount" else amount,
            asked=amount,
            currency=_other(currency) if mode.tampers == "currency" else currency,
            card=source.card.masked,
            card_type=source.card.brand,
            vault_id=vault_id,
            stores_card=stores_card,
            code=mode.code,
            text=mode.text,
            hidden_calls=mode.hidden_calls,
        )
        return self._charge(wanted, mode, source, fields)

    def _charge(
        self, wanted: Charge, mode: Mode, source: Source, fields: Mapping[str, str]
    ) -> Reply:
        if source.token and self._tokens.use(source.token) is None:
            raise RefusedError("Payment token has already been used REFID:{id}")
        if mode.decision == "decline" or wanted.asked < LOWEST_APPROVED:
            declined = Mode(name="decline", decision="decline", code="200", text="DECLINE")
            mode = mode if mode.decision == "decline" else declined
            made = self._books.decline(_declined(wanted, mode))
        else:
            made = self._books.charge(wanted, dup_seconds=self._window(fields))
        self._webhooks.tell(made, how=mode.webhook)
        return self._told(mode, fields, made, cvv=source.cvv)

    def _source(self, fields: Mapping[str, str]) -> Source:
        token, number = fields.get("payment_token", ""), fields.get("ccnumber", "")
        if token:
            tokenized = self._tokens.look_at(token)
            if tokenized is None:
                used = self._tokens.was_used(token)
                said = "has already been used" if used else "does not exist"
                raise RefusedError(f"Payment token {said} REFID:{{id}}")
            return _of(tokenized, token)
        if number:
            card = find_card(number)
            if card is None:
                raise RefusedError("Invalid Credit Card Number REFID:{id}")
            return Source(card=card, scope="first", cvv=fields.get("cvv", ""))
        vault_id = fields.get("customer_vault_id", "")
        masked = self._books.stored_card(vault_id)
        card = unmask(masked) if masked else self._unknown_vault
        if card is None or not vault_id:
            raise RefusedError("Invalid Customer Vault Id REFID:{id}")
        return Source(card=card, scope="later")

    def _window(self, fields: Mapping[str, str]) -> int:
        given = fields.get("dup_seconds", "")
        if not given:
            return self._dup_seconds
        if not given.isascii() or not given.isdigit():
            raise RefusedError("Invalid dup_seconds REFID:{id}")
        return int(given)

    # What gives money back

    def _reversal(self, fields: Mapping[str, str]) -> Reply:
        transaction_id, order_id = fields.get("transactionid", ""), fields.get("orderid", "")
        mode = self._modes.take("reversals")
        if mode.decision != "approve":
            return self._told(mode, fields, None)
        if fields["type"] == "void":
            made = self._books.void(transaction_id, order_id=order_id)
        else:
            amount = _amount(fields) if fields.get("amount") else None
            made = self._books.refund(transaction_id, amount, order_id=order_id)
        self._webhooks.tell(made, how=mode.webhook)
        return self._told(mode, fields, made)

    def _forget_card(self, fields: Mapping[str, str]) -> Reply:
        self._books.forget_card(fields.get("customer_vault_id", ""))
        told = {"response": "1", "responsetext": "Customer Deleted", "response_code": "100"}
        return form(told, note="customer deleted")

    # Answers

    def _told(
        self, mode: Mode, fields: Mapping[str, str], made: Transaction | None, *, cvv: str = ""
    ) -> Reply:
        answer = self._answer(mode.response, mode.code, mode.text, fields)
        if made is not None:
            answer |= {"transactionid": made.transaction_id}
            if mode.response == "1":
                answer |= {"authcode": made.authcode, "cvvresponse": _cvv(cvv)}
                if made.vault_id:
                    answer["customer_vault_id"] = made.vault_id
        note = f"{_described(fields)} → {mode.code} {answer['responsetext']}"
        return form(answer, note=note).in_the_way_of(mode)

    def _refused(self, text: str, fields: Mapping[str, str]) -> Reply:
        code = "430" if text.startswith("Duplicate transaction") else "300"
        answer = self._answer("3", code, text, fields)
        return form(answer, note=f"{_described(fields)} → {code} {answer['responsetext']}")

    def _answer(
        self, response: str, code: str, text: str, fields: Mapping[str, str]
    ) -> dict[str, str]:
        return {
            "response": response,
            "responsetext": text.replace("{id}", self._books.next_id()),
            "orderid": fields.get("orderid", ""),
            "type": fields.get("type", ""),
            "response_code": code,
        }


def _unknown_type(_fields: Mapping[str, str]) -> Reply:
    raise RefusedError("Invalid Transaction Type REFID:{id}")


def _of(tokenized: Tokenized, token: str) -> Source:
    return Source(card=tokenized.card, scope="first", cvv=tokenized.cvv, token=token)


def _declined(wanted: Charge, mode: Mode) -> Charge:
    """Return the sale as a failed one is booked: as it was asked for, with no stored card."""
    return Charge(
        order_id=wanted.order_id,
        amount=wanted.asked,
        asked=wanted.asked,
        currency=wanted.currency,
        card=wanted.card,
        card_type=wanted.card_type,
        code=mode.code,
        text=mode.text,
    )


def _amount(fields: Mapping[str, str]) -> Decimal:
    text = fields.get("amount", "")
    if not _AMOUNT.fullmatch(text):
        raise RefusedError("Invalid amount REFID:{id}")
    try:
        return Decimal(text)
    except InvalidOperation as exc:  # pragma: no cover  (the pattern lets none through)
        raise RefusedError("Invalid amount REFID:{id}") from exc


def _currency(fields: Mapping[str, str]) -> str:
    currency = fields.get("currency", "") or "USD"
    if not _CURRENCY.fullmatch(currency):
        raise RefusedError("Invalid currency REFID:{id}")
    return currency


def _other(currency: str) -> str:
    return "USD" if currency == "EUR" else "EUR"


def _cvv(cvv: str) -> str:
    if not cvv:
        return ""
    return "M" if cvv == MATCHING_CVV else "N"


def _described(fields: Mapping[str, str]) -> str:
    words = (fields.get(name, "") for name in ("type", "orderid", "amount", "currency"))
    return " ".join(word for word in words if word)[:120]
