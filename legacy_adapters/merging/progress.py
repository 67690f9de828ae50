"""How far a session has come: its status and its step, the furthest that a trusted copy says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from legacy_adapters.stores import Store
from sessions_unified.flow import COMPLETED, EXPIRED, PENDING, PROCESSING, get_flow

if TYPE_CHECKING:
    from legacy_adapters.merging.candidates import Candidate
    from legacy_adapters.merging.copies import Copies

_ALONG: Final = (PENDING, PROCESSING, COMPLETED)


def status(copies: Copies) -> str:
    """Return the furthest status; failed or expired only by the most trusted word.

    That word yields to an order that another copy has as completed, or knows as paid.
    """
    if not copies.trusted:
        return get_flow().start.status
    first = copies.trusted[0].session
    said = [each.session.status for each in _speaking(copies)]
    furthest = max((each for each in said if each in _ALONG), key=_ALONG.index, default=PENDING)
    if first.status in _ALONG or furthest == COMPLETED:
        return furthest
    return PROCESSING if _is_paid_after_all(copies) else first.status


def _is_paid_after_all(copies: Copies) -> bool:
    """Tell whether a payment outweighs the most trusted word, failed or expired.

    The old shop called whatever it read past its end expired, paid or not. But a store that says
    failed and names the transaction itself knew of both.
    """
    first = copies.trusted[0].session
    if first.status != EXPIRED and first.is_paid:
        return False
    return any(each.session.is_paid for each in copies.trusted)


def step(copies: Copies) -> str:
    """Return the furthest step; of several that the flow does not know, the most trusted one's."""
    flow = get_flow()
    if not copies.trusted:
        return flow.start.step
    return max((each.session.current_step for each in _speaking(copies)), key=flow.rank)


def claims_status(claimed: str, known: str) -> bool:
    """Tell whether a browser claims to be further; one that lags behind claims nothing."""
    if claimed not in _ALONG:
        return False
    return known not in _ALONG or _ALONG.index(claimed) > _ALONG.index(known)


def claims_step(claimed: str, known: str) -> bool:
    """Tell the same of steps."""
    flow = get_flow()
    return flow.rank(claimed) > flow.rank(known)


def _speaking(copies: Copies) -> tuple[Candidate, ...]:
    """Return whose word counts: an older copy's does not, where the database has the session.

    A declined charge takes an order back to the checkout, and the copy must not hold it. But a
    copy that knows of a payment stays: nothing takes a paid order back.
    """
    if not any(each.store is Store.DATABASE for each in copies.trusted):
        return copies.trusted
    return tuple(
        each for each in copies.trusted if each.store is not Store.COPY or each.session.is_paid
    )
