"""What is sent back over HTTP, and whether it is sent at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from funnel.payments.nmi.simulator.records import wire_amount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from funnel.payments.nmi.simulator.modes import Delivery, Mode
    from funnel.payments.nmi.simulator.records import Action, Transaction

FORM = "application/x-www-form-urlencoded; charset=UTF-8"
XML = "text/xml; charset=UTF-8"
_HTML = "text/html; charset=UTF-8"
_OK = 200


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer.

    Attributes:
        delivery: sent, or the connection is closed instead, at once or after long.
        note: for the log: no card data.

    """

    status: int = _OK
    body: bytes = b""
    content_type: str = FORM
    delivery: Delivery = "send"
    note: str = ""

    def in_the_way_of(self, mode: Mode) -> Reply:
        """Return what the mode makes of it."""
        body, content_type = self.body, self.content_type
        if mode.body is not None:
            body = mode.body
            content_type = FORM if mode.status == _OK else _HTML
        return Reply(
            status=mode.status,
            body=body,
            content_type=content_type,
            delivery=mode.delivery,
            note=f"{self.note} [{mode.name}]" if mode.name != "approve" else self.note,
        )


def form(fields: Mapping[str, str], *, note: str) -> Reply:
    """Return an answer of ``transact.php``."""
    names = ("response", "responsetext", "authcode", "transactionid", "avsresponse", "cvvresponse")
    more = ("orderid", "type", "response_code")
    whole = {name: fields.get(name, "") for name in (*names, *more)} | dict(fields)
    return Reply(body=urlencode(whole).encode(), note=note)


def xml(transactions: Iterable[Transaction], *, note: str) -> Reply:
    """Return an answer of ``query.php``; nothing found is an empty element."""
    found = "".join(_transaction(each) for each in transactions)
    return Reply(body=_document(found), content_type=XML, note=note)


def xml_error(text: str) -> Reply:
    """Return a refusal of ``query.php``."""
    body = _document(_element("error_response", text))
    return Reply(body=body, content_type=XML, note=text)


def _document(inside: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<nm_response>{inside}</nm_response>\n'.encode()


def _transaction(each: Transaction) -> str:
    fields = {
        "transaction_id": each.transaction_id,
        "partial_payment_id": "",
        "partial_payment_balance": "",
        "platform_id": "",
        "transaction_type": "cc",
        "condition": each.condition,
        "order_id": each.order_id,
        "authorization_code": each.authcode,
        "ponumber": "",
        "customerid": each.vault_id,
        "cc_number": each.card,
        "cc_type": each.card_type,
        "processor_id": "simulator",
        "currency": each.currency,
        "original_transaction_id": each.original_id,
    }
    inside = "".join(_element(name, text) for name, text in fields.items())
    return f"<transaction>{inside}{''.join(map(_action, each.actions))}</transaction>"


def _action(action: Action) -> str:
    fields = {
        "amount": wire_amount(action.amount),
        "action_type": action.kind,
        "date": action.at,
        "success": "1" if action.success else "0",
        "source": "api",
        "api_method": "api",
        "response_text": action.text,
        "response_code": action.code,
    }
    inside = "".join(_element(name, text) for name, text in fields.items())
    return f"<action>{inside}</action>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"
