"""A small twin of Collect.js: card fields in frames of ours, which the shop's page never sees into.

``browser/`` has what the browser gets: ``Collect.js`` for the shop's page, ``field.html`` and
``field.js`` for each frame. A frame posts what was typed to ``/token/create``, here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from funnel.payments.nmi.simulator.cards import find_card
from funnel.payments.nmi.simulator.replies import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from funnel.payments.nmi.simulator.simulator import Simulator

_FILES: Final = Path(__file__).parent / "browser"
_PAGES: Final = {
    "/token/Collect.js": ("Collect.js", "text/javascript; charset=UTF-8"),
    "/token/field.html": ("field.html", "text/html; charset=UTF-8"),
    "/token/field.js": ("field.js", "text/javascript; charset=UTF-8"),
    "/token/field.css": ("field.css", "text/css; charset=UTF-8"),
}
_EXPIRY: Final = re.compile(r"(0[1-9]|1[0-2])[ /]*([0-9]{2})")
_CVV: Final = re.compile(r"[0-9]{3,4}")


def page(path: str) -> Reply | None:
    """Return one of the browser's files; None: there is none."""
    if path not in _PAGES:
        return None
    name, content_type = _PAGES[path]
    return Reply(body=(_FILES / name).read_bytes(), content_type=content_type)


def create(simulator: Simulator, given: Mapping[str, Any] | None) -> Reply:
    """Answer ``/token/create``: a token for a test card, or which field is wrong."""
    typed = {
        name: str((given or {}).get(name, "")).strip() for name in ("ccnumber", "ccexp", "cvv")
    }
    card, expiry = find_card(typed["ccnumber"]), _EXPIRY.fullmatch(typed["ccexp"])
    if card is None:
        return _wrong("ccnumber", "This is no test card of the simulator")
    if expiry is None:
        return _wrong("ccexp", "Expiry is month and year: MM/YY")
    if typed["cvv"] and not _CVV.fullmatch(typed["cvv"]):
        return _wrong("cvv", "CVV is 3 or 4 digits")
    exp = f"{expiry[1]}{expiry[2]}"
    token = simulator.token(card.number, cvv=typed["cvv"], expiry=exp)
    shown = {
        "number": card.masked,
        "bin": card.number[:6],
        "exp": exp,
        "hash": card.hash,
        "type": card.brand,
    }
    return _json({"token": token, "card": shown}, 200)


def _wrong(field: str, message: str) -> Reply:
    return _json({"field": field, "message": message}, 400)


def _json(content: object, status: int) -> Reply:
    return Reply(status=status, body=json.dumps(content).encode(), content_type="application/json")
