"""At which step a session stands whose own word for it the flow does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessions_unified.flow import COMPLETED, PROCESSING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def proven_step(
    steps: Sequence[str],
    *,
    status: str,
    is_paid: bool,
    accepted: Iterable[str],
    declined: Iterable[str],
) -> str:
    """Return the furthest of ``steps`` that the session's facts prove.

    ``steps`` are the flow's: the checkout, the processing, the offers', the end. An answered offer
    proves its step, an accepted one ends it; an offer's id begins with its step's name and "-".
    Only the status proves the end.
    """
    if status == COMPLETED:
        return steps[-1]
    offering = range(2, len(steps) - 1)
    ranks = [0]
    if status == PROCESSING:
        ranks.append(1)
    if is_paid:
        ranks.append(2)
    ranks += [rank for rank in offering if _has_offer_of(steps[rank], declined)]
    ranks += [rank + 1 for rank in offering if _has_offer_of(steps[rank], accepted)]
    return steps[min(max(ranks), max(len(steps) - 2, 0))]


def _has_offer_of(step: str, offers: Iterable[str]) -> bool:
    return any(offer.startswith(f"{step}-") for offer in offers)
