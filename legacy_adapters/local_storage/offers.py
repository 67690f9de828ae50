"""The offers of an entry: which were taken in ``upsellsAccepted``, for how much in ``upsells``.

``upsells`` is a list of ``{productCode, step, amount, transactionId, timestamp}``. A session has
the same by offer, without the code, and says ``acceptedAt`` for the timestamp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.fields import reading, values, writing
from legacy_adapters.stores import Store
from sessions_unified.snapshot import Upsells, freeze

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessions_unified.snapshot import SessionSnapshot

_CODE: Final = "productCode"
_THEIRS: Final = "timestamp"
_OURS: Final = "acceptedAt"


def read_upsells(entry: Mapping[str, Any], kept: dict[str, Any]) -> Upsells:
    """Return the offers; what is none is kept aside under its own name."""
    details: dict[str, Any] = {}
    odd: list[Any] = []
    items = values.unwrapped(entry.get("upsells"))
    for item in items if isinstance(items, list) else [] if items is None else [items]:
        code = _code_of(item)
        if code is None or code in details:
            odd.append(values.storable(item))
            continue
        detail = {name: value for name, value in item.items() if name != _CODE}
        details[code] = values.storable(_renamed(detail, _THEIRS, _OURS))
    if odd:
        kept["upsells"] = odd
    return Upsells(
        accepted=reading.offers(entry.get("upsellsAccepted"), kept, "upsellsAccepted"),
        declined=reading.offers(entry.get("upsellsDeclined"), kept, "upsellsDeclined"),
        details=freeze(details),
    )


def _code_of(item: Any) -> str | None:
    code = item.get(_CODE) if isinstance(item, dict) else None
    return values.optional_text(code) if isinstance(code, str) else None


def write_upsells(session: SessionSnapshot) -> dict[str, Any]:
    """Return the three fields that say a session's offers, with what was none at their ends."""
    kept = reading.kept_of(session, Store.LOCAL_STORAGE)
    items = [
        {_CODE: code, **_renamed(writing.thawed(detail), _OURS, _THEIRS)}
        for code, detail in session.upsells.details.items()
        if isinstance(detail, dict)
    ]
    return {
        "upsellsAccepted": [*session.upsells.accepted, *_odd(kept, "upsellsAccepted")],
        "upsellsDeclined": [*session.upsells.declined, *_odd(kept, "upsellsDeclined")],
        "upsells": [*items, *_odd(kept, "upsells")],
    }


def _odd(kept: Mapping[str, Any], name: str) -> list[Any]:
    found = writing.thawed(kept.get(name))
    return found if isinstance(found, list) else []


def _renamed(detail: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    """Return it with one name for another, in its place; as it is where both are taken."""
    if before not in detail or after in detail:
        return detail
    return {after if name == before else name: value for name, value in detail.items()}
