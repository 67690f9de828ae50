"""The fields of a session as the old shop wrote them, read with care: what mappings are made of.

Each raises `UnreadableRecordError` that names the field, or keeps aside, in the mapping ``kept``,
what is no value of a session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.fields import values
from legacy_adapters.fields.steps import proven_step
from sessions_unified.card_data import find_card_data, mask_card_data
from sessions_unified.flow import STATUSES
from sessions_unified.ids import is_session_id
from sessions_unified.snapshot import FrozenDict, Upsells, freeze
from sessions_unified.wire import INTERNAL_METADATA

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from legacy_adapters.stores import Store
    from sessions_unified.flow import FlowTable
    from sessions_unified.snapshot import SessionSnapshot

# Metadata is the shopper's to see; what opens a card is not.
_SECRET_WORDS: Final = ("vault", "token", "card", "cvv", "cvc", "secret", "password")
# Longer names are not remembered: a browser's is as long as it likes.
_SHORT: Final = 64
# A word of its own only: "company" is none.
_PAN: Final = re.compile(r"(?<![a-z])pan(?![a-z])|Pan(?![a-z])|(?<![A-Z])PAN(?![A-Z])")


def kept_metadata(store: Store, kept: Mapping[str, Any]) -> FrozenDict:
    """Return a session's metadata with what a mapping of ``store`` kept aside."""
    metadata: FrozenDict = freeze({INTERNAL_METADATA: {str(store): dict(kept)}} if kept else {})
    return metadata


def kept_of(session: SessionSnapshot, store: Store) -> Mapping[str, Any]:
    """Return what a mapping of ``store`` kept aside when the session came from there."""
    internal = session.metadata.get(INTERNAL_METADATA)
    found = internal.get(str(store)) if isinstance(internal, dict) else None
    return found if isinstance(found, dict) else {}


def without_card_data(
    data: Mapping[str, Any], *, known: Collection[str], references: Collection[str]
) -> tuple[Mapping[str, Any], list[str]]:
    """Return the record with card data masked, and the names of the fields that had any.

    A record is never lost for it: the shopper's order counts, and what a shop should not have
    written down does not come along. ``references`` are the gateway's own, which may look like
    anything, and money hangs on them; unknown fields with a secret's name are dropped elsewhere.
    """
    said = {
        name: values.unwrapped(value)
        for name, value in data.items()
        if value and name not in references and (name in known or not is_secret(name))
    }
    if find_card_data(list(said.values())) is None:  # at once: so it is with nearly every record
        return data, []
    changes: dict[str, Any] = {}
    for name, value in said.items():
        if find_card_data(value) is None:
            continue
        masked = None if name == "payment_token" else mask_card_data(value)
        if masked != value:  # else it was only nested too deeply to tell
            changes[name] = masked
    masked_names = sorted(map(values.storable_text, changes))
    return ({**data, **changes}, masked_names) if changes else (data, [])


def session_id(value: Any) -> str:
    """Return a session's id."""
    if value is None or value == "":
        raise UnreadableRecordError("id is missing")
    if not isinstance(value, str) or not is_session_id(value):
        raise UnreadableRecordError("id does not have the form ws_<time>_<random>")
    return value


def status(value: Any, names: Mapping[str, str] | None = None) -> str:
    """Return a status of ours; ``names`` are the store's, if they are others: theirs → ours."""
    known = {name: name for name in STATUSES} if names is None else names
    if value is None or value == "":
        raise UnreadableRecordError("status is missing")
    if not isinstance(value, str) or value not in known:
        said = " ".join(filter(None, ["status", values.quoted(value)]))
        raise UnreadableRecordError(f"{said} is none of {', '.join(known)}")
    return known[value]


def email(value: Any) -> str:
    """Return an address."""
    try:
        return values.email_address(value)
    except ValueError as exc:
        raise UnreadableRecordError(f"email {exc}") from None


def moment(data: Mapping[str, Any], name: str) -> datetime:
    """Return an ISO 8601 date of the record."""
    try:
        return values.moment(data.get(name))
    except ValueError as exc:
        raise UnreadableRecordError(f"{name} {exc}") from None


def step(
    given: Any,
    flow: FlowTable,
    upsells: Upsells,
    kept: dict[str, Any],
    *,
    status: str,
    is_paid: bool,
) -> str:
    """Return the record's step; for one that the flow does not know, what its facts prove."""
    if isinstance(given, str) and given in flow.steps:
        return given
    kept["currentStep"] = values.storable(given)
    return proven_step(
        flow.steps,
        status=status,
        is_paid=is_paid,
        accepted=upsells.accepted,
        declined=upsells.declined,
    )


def customer(value: Any, kept: dict[str, Any]) -> FrozenDict | None:
    """Return the customer's object; anything else is kept aside."""
    found = values.unwrapped(value)
    if found is None:
        return None
    if isinstance(found, dict):
        told: FrozenDict = freeze(values.storable(found))
        return told
    kept["customerInfo"] = values.storable(value)
    return None


def offers(
    value: Any, kept: dict[str, Any], name: str, *, names_of_id: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return the offers' ids of a list; what is more than an id is kept aside under ``name``.

    ``names_of_id`` are those under which an object of the list may say its offer's id.
    """
    found = values.unwrapped(value)
    if found is None or found == []:
        return ()
    items = found if isinstance(found, list | tuple) else [found]
    odd = [item for item in items if not (isinstance(item, str) and item.strip())]
    if odd:
        kept[name] = values.storable(odd)
    ids = (offer_id(item, names_of_id) for item in items)
    return tuple(dict.fromkeys(each for each in ids if each is not None))


def offer_id(item: Any, names_of_id: tuple[str, ...]) -> str | None:
    """Return the id that an item of a list of offers says; None: it says none."""
    if isinstance(item, Mapping):
        item = next((item[each] for each in names_of_id if each in item), None)
    return values.storable_text(item).strip() or None if isinstance(item, str) else None


def unknown_fields(data: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return the record's other fields, as JSON that can be stored; secrets are left out."""
    return {
        values.storable_text(str(name)): values.storable(value)
        for name, value in data.items()
        if name not in known and value is not None and not is_secret(str(name))
    }


def is_secret(name: str) -> bool:
    """Tell whether a field's name says that it opens a card."""
    return (_is_secret if len(name) <= _SHORT else _is_secret.__wrapped__)(name)


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    plain = name.lower()
    return any(word in plain for word in _SECRET_WORDS) or _PAN.search(name) is not None
