"""``query.php``: what the books show of an order or a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from funnel.payments.nmi.simulator.replies import Reply, xml, xml_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from funnel.payments.nmi.simulator.books import Books
    from funnel.payments.nmi.simulator.modes import Modes


class Query:
    """Does what ``query.php`` does."""

    def __init__(self, *, books: Books, modes: Modes) -> None:
        self._books = books
        self._modes = modes

    def answer(self, fields: Mapping[str, str]) -> Reply:
        """Take one request, whose security key is right."""
        order_id, transaction_id = fields.get("order_id", ""), fields.get("transaction_id", "")
        if not order_id and not transaction_id:
            return xml_error("Name an order_id or a transaction_id REFID:1")
        mode = self._modes.take("queries")
        if mode.decision == "refuse" and mode.delivery == "send" and mode.body is None:
            text = mode.text.replace("{id}", self._books.next_id())
            return xml_error(text)
        found = self._books.look_up(order_id=order_id, transaction_id=transaction_id)
        note = f"query {order_id or transaction_id} → {len(found)} found"
        return xml(found, note=note[:160]).in_the_way_of(mode)
