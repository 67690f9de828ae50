"""Who buys, and what each store keeps for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.base import LAST_VAULT_UPDATE
from legacy_adapters.merging.references import is_time
from sessions_unified.snapshot import FrozenDict, freeze
from sessions_unified.wire import INTERNAL_METADATA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from legacy_adapters.merging.candidates import Candidate
    from legacy_adapters.merging.copies import Copies

_EMPTY: Final[tuple[Any, ...]] = (None, "", (), [], {})


def customer(copies: Copies) -> FrozenDict | None:
    """Return key by key the newest trusted value that is not empty, else a browser's."""
    by_age = sorted(copies.trusted, key=lambda each: each.session.updated_at, reverse=True)
    told = [
        each.session.customer
        for each in (*by_age, *copies.browsers)
        if each.session.customer is not None
    ]
    if not told:
        return None
    keys = dict.fromkeys(key for customer in told for key in customer)
    merged: FrozenDict = freeze({key: _first(key, told) for key in keys})
    return merged


def _first(key: str, told: Sequence[Mapping[str, Any]]) -> Any:
    said = [customer[key] for customer in told if key in customer]
    return next((value for value in said if not is_empty(value)), said[0])


def is_empty(value: Any) -> bool:
    """Tell whether a value says nothing; 0 and false do say something."""
    return value in _EMPTY


def metadata(copies: Copies) -> FrozenDict:
    """Return the most trusted keys of its own, and by store what that store keeps for itself."""
    told = [each.session.metadata for each in copies.believed]
    owned = [
        {name: value for name, value in each.items() if name != INTERNAL_METADATA} for each in told
    ]
    found: dict[str, Any] = dict(next((each for each in owned if each), {}))
    everyone = (*copies.trusted, *copies.browsers)
    names = dict.fromkeys(name for each in everyone for name in _internal(each))
    kept = {name: _kept(name, everyone) for name in names}
    if any(kept.values()):
        found[INTERNAL_METADATA] = {name: each for name, each in kept.items() if each}
    merged: FrozenDict = freeze(found)
    return merged


def _kept(name: str, everyone: Sequence[Candidate]) -> Mapping[str, Any]:
    """Return what a store keeps by its own word, else by the most trusted one who knows it.

    The newest time of an update of the vault id stays, whoever knows it: it decided which vault
    id counts, and must decide so again.
    """
    told = [_internal(each).get(name, {}) for each in everyone]
    own = (kept for kept, each in zip(told, everyone, strict=True) if each.store == name)
    kept = next(own, None)
    if kept is None:
        kept = next(each for each in told if each)
    times = [each[LAST_VAULT_UPDATE] for each in told if is_time(each.get(LAST_VAULT_UPDATE))]
    return {**kept, LAST_VAULT_UPDATE: max(times)} if times else kept


def _internal(candidate: Candidate) -> Mapping[str, Mapping[str, Any]]:
    """Return what is kept by store; a browser speaks for itself alone."""
    internal = candidate.session.metadata.get(INTERNAL_METADATA)
    found = internal if isinstance(internal, dict) else {}
    return {
        name: kept
        for name, kept in found.items()
        if isinstance(kept, dict)
        and kept
        and (candidate.store.is_trusted or name == candidate.store)
    }
