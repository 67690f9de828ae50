"""The offers that a shopper took and refused."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from legacy_adapters.stores import Store
from sessions_unified.snapshot import Upsells, freeze

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from legacy_adapters.merging.copies import Copies


def upsells(copies: Copies) -> Upsells:
    """Return the union of the trusted answers; what was taken and refused, by its proof."""
    told = [each.session.upsells for each in copies.trusted]
    return settled(
        Upsells(
            accepted=_union(each.accepted for each in told),
            declined=_union(_declined(copies)),
            details=_details([each.details for each in told]),
        )
    )


def settled(upsells: Upsells) -> Upsells:
    """Return the answers with none of them both ways.

    Accepted stands where a transaction proves it; otherwise declined does: nobody is charged on
    a doubt.
    """
    both = set(upsells.accepted) & set(upsells.declined)
    proven = {offer for offer in both if is_proven(upsells.details, offer)}
    return Upsells(
        accepted=tuple(offer for offer in upsells.accepted if offer not in both - proven),
        declined=tuple(offer for offer in upsells.declined if offer not in proven),
        details=upsells.details,
    )


def contradictory(copies: Copies) -> frozenset[str]:
    """Return the offers that trusted copies have as taken and as refused."""
    accepted = _union(each.session.upsells.accepted for each in copies.trusted)
    return frozenset(accepted) & frozenset(_union(_declined(copies)))


def claims(claimed: Upsells, known: Upsells) -> bool:
    """Tell whether a browser has an answer that is not known; one that lags behind has none."""
    unknown = set(claimed.accepted) - set(known.accepted)
    return bool(unknown or set(claimed.declined) - set(known.declined))


def is_proven(details: Mapping[str, Any], offer: str) -> bool:
    """Tell whether a transaction proves that the offer was taken."""
    found = details.get(offer)
    return isinstance(found, dict) and bool(found.get("transactionId"))


def _declined(copies: Copies) -> Iterator[Iterable[str]]:
    """Yield what each trusted copy has as refused.

    What the database has as taken by now, an older copy does not refuse for it: it was charged.
    """
    taken = [
        offer
        for each in copies.trusted
        if each.store is Store.DATABASE
        for offer in each.session.upsells.accepted
    ]
    for each in copies.trusted:
        said = each.session.upsells.declined
        is_older = each.store is Store.COPY
        yield [offer for offer in said if offer not in taken] if is_older else said


def _union(offers: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(offers)))


def _details(told: list[Mapping[str, Any]]) -> Any:
    """Return by offer what the most trusted copy tells; one with a transaction before all."""
    found: dict[str, Any] = {}
    for details in told:
        for offer, detail in details.items():
            is_proof = is_proven(details, offer) and not is_proven(found, offer)
            if offer not in found or is_proof:
                found[offer] = detail
    return freeze(found)
