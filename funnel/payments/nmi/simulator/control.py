"""The control API under ``/_control/``: look into the books, choose modes, move webhooks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from funnel.payments.nmi.simulator.books import BooksError
from funnel.payments.nmi.simulator.cards import CARDS, find_card
from funnel.payments.nmi.simulator.modes import MODES, SCOPES, UnknownModeError
from funnel.payments.nmi.simulator.records import as_json
from funnel.payments.nmi.simulator.replies import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from funnel.payments.nmi.simulator.simulator import Simulator

PREFIX = "/_control/"
_JSON = "application/json"


class ControlError(Exception):
    """The request makes no sense; ``GET /_control/`` says what there is."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """Answers of the control API. It has no password: the simulator serves this machine only."""

    simulator: Simulator

    def get(self, path: str) -> Reply:
        """Answer a GET."""
        pages: dict[str, Callable[[], Any]] = {
            "": self._index,
            "books": self._books,
            "mode": self._modes,
            "webhooks": self._webhooks,
        }
        page = pages.get(path)
        return (
            _json({"error": f"There is no {PREFIX}{path}"}, 404) if page is None else _json(page())
        )

    def post(self, path: str, given: Mapping[str, Any]) -> Reply:
        """Answer a POST of a JSON object."""
        acts: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "mode": self._set_mode,
            "token": self._mint,
            "settle": self._settle,
            "reset": self._reset,
            "webhooks/hold": self._hold,
            "webhooks/release": self._release,
            "webhooks/redeliver": self._redeliver,
        }
        act = acts.get(path)
        if act is None:
            return _json({"error": f"There is no {PREFIX}{path}"}, 404)
        try:
            return _json(act(given))
        except (ControlError, UnknownModeError, BooksError, TypeError, ValueError) as exc:
            return _json({"error": str(exc)}, 400)

    # GET

    def _index(self) -> dict[str, Any]:
        return {
            "url": self.simulator.url,
            "modes": [*MODES, "code-NNN"],
            "scopes": SCOPES,
            "cards": {card.number: card.says for card in CARDS.values()},
            "get": ["books", "mode", "webhooks"],
            "post": {
                "mode": {"mode": "decline", "sales": "later", "times": 1, "card": "4111…"},
                "token": {"card": "4111…", "cvv": "999"},
                "settle": {"transaction_id": "all, if left out"},
                "reset": {},
                "webhooks/hold": {},
                "webhooks/release": {"reversed": True},
                "webhooks/redeliver": {"event_id": "all, if left out"},
            },
        }

    def _books(self) -> dict[str, Any]:
        books = self.simulator.books
        return {
            "transactions": [as_json(each) for each in books.transactions],
            "totals": {currency: str(total) for currency, total in books.totals().items()},
        }

    def _modes(self) -> dict[str, Any]:
        rules = [
            {"mode": rule.mode.name, "sales": rule.scope, "card": rule.card, "times": rule.times}
            for rule in self.simulator.modes.rules
        ]
        return {"rules": rules}

    def _webhooks(self) -> dict[str, Any]:
        events = [
            {
                "event_id": event.event_id,
                "event_type": event.event_type,
                "state": event.state,
                "tries": event.tries,
                "status": event.status,
                "body": json.loads(event.body),
            }
            for event in self.simulator.webhooks.events
        ]
        return {"url": self.simulator.webhooks.url, "events": events}

    # POST

    def _set_mode(self, given: Mapping[str, Any]) -> dict[str, Any]:
        known = {"mode", "sales", "times", "card", "hidden_calls"}
        if set(given) - known:
            raise ControlError(f"A mode takes {', '.join(sorted(known))}.")
        named = {name: given[name] for name in known - {"mode"} if name in given}
        self.simulator.mode(given.get("mode", ""), **named)
        return self._modes()

    def _mint(self, given: Mapping[str, Any]) -> dict[str, Any]:
        number = str(given.get("card", "4111111111111111"))
        card = find_card(number)
        if card is None:
            raise ControlError("This is no test card; GET /_control/ lists them.")
        cvv, expiry = str(given.get("cvv", "999")), str(given.get("expiry", "1025"))
        token = self.simulator.token(number, cvv=cvv, expiry=expiry)
        return {"token": token, "card": {"number": card.masked, "hash": card.hash}}

    def _settle(self, given: Mapping[str, Any]) -> dict[str, Any]:
        settled = self.simulator.books.settle(given.get("transaction_id"))
        return {"settled": [each.transaction_id for each in settled]}

    def _reset(self, _given: Mapping[str, Any]) -> dict[str, Any]:
        self.simulator.reset()
        return {"reset": True}

    def _hold(self, _given: Mapping[str, Any]) -> dict[str, Any]:
        self.simulator.webhooks.hold()
        return {"holding": True}

    def _release(self, given: Mapping[str, Any]) -> dict[str, Any]:
        is_reversed = bool(given.get("reversed"))
        return {"released": self.simulator.webhooks.release(is_reversed=is_reversed)}

    def _redeliver(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"redelivering": self.simulator.webhooks.redeliver(given.get("event_id"))}


def _json(content: object, status: int = 200) -> Reply:
    body = json.dumps(content, indent=1, ensure_ascii=False).encode()
    return Reply(status=status, body=body + b"\n", content_type=_JSON)
