"""Start an order, or change the one that is not paid yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from funnel import catalog
from funnel.bumps import bumps_in, with_bumps
from funnel.storefront.orders import Line, Order, money
from sessions_unified.exceptions import PricingError, VersionConflictError
from sessions_unified.flow import Position, get_flow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.pricing import Priced
    from sessions_unified.snapshot import SessionSnapshot

_ATTEMPTS: Final = 4


def _price(wanted: dict[str, int]) -> Priced:
    return catalog.price([{"id": name, "quantity": number} for name, number in wanted.items()])


def priced(wanted: dict[str, int]) -> dict[str, Any]:
    """Return the session's fields for these products, at today's prices.

    Raises:
        PricingError: the order is larger than we take.

    """
    lines, amount, currency = _price(wanted)
    return {"products": [dict(line) for line in lines], "amount": amount, "currency": currency}


def preview(wanted: dict[str, int]) -> Order | None:
    """Return the order that these products would be today; None if there is none to make."""
    if not wanted:
        return None
    try:
        lines, amount, currency = _price(wanted)
    except PricingError:
        return None
    return Order(
        lines=tuple(
            Line(
                name=line["name"],
                quantity=line["quantity"],
                price=money(line["price"], currency),
                total=money(line["price"] * line["quantity"], currency),
            )
            for line in lines
        ),
        adjustment=None,
        total=money(amount, currency),
        items=sum(line["quantity"] for line in lines),
    )


def can_change(session: SessionSnapshot) -> bool:
    """Tell whether the order's products may still change: only before payment begins."""
    return Position(session.status, session.current_step) == get_flow().start


def start(manager: UnifiedSessionManager, wanted: dict[str, int]) -> SessionSnapshot:
    """Return a new session that orders these products.

    Raises:
        PricingError: the order is larger than we take.

    """
    return manager.create_session(**priced(wanted))


def change(
    manager: UnifiedSessionManager, session: SessionSnapshot, wanted: dict[str, int]
) -> SessionSnapshot:
    """Let the session order these products instead; one whose payment has begun stays as it is.

    Its order bumps stay too.

    Raises:
        PricingError: the order is larger than we take.
        SessionNotFoundError, SessionExpiredError: as the manager's.

    """

    def fields(now: SessionSnapshot) -> dict[str, Any]:
        kept = (bump for bump in bumps_in(now) if bump in catalog.bumps())
        return priced(wanted | dict.fromkeys(kept, 1))

    return _change(manager, session, fields)


def choose_bump(
    manager: UnifiedSessionManager,
    session: SessionSnapshot,
    bump_id: str,
    *,
    is_wanted: bool,
    typed: Mapping[str, Any],
) -> SessionSnapshot:
    """Add an order bump or take it out; an order whose payment has begun stays as it is.

    ``typed`` is more of the session to change with it: who orders, as far as it is known.

    Raises:
        PricingError: it cannot be added to this order.
        SessionNotFoundError, SessionExpiredError: as the manager's.

    """

    def fields(now: SessionSnapshot) -> dict[str, Any]:
        others = [each for each in bumps_in(now) if each != bump_id]
        return {**typed, **with_bumps(now, [*others, bump_id] if is_wanted else others)}

    return _change(manager, session, fields)


def _change(
    manager: UnifiedSessionManager,
    session: SessionSnapshot,
    fields: Callable[[SessionSnapshot], dict[str, Any]],
) -> SessionSnapshot:
    for _ in range(_ATTEMPTS):
        if not can_change(session):
            return session
        try:
            # Bound to the version that was looked at: a payment may begin at any moment.
            return manager.update_session(session.id, fields(session), if_version=session.version)
        except VersionConflictError:
            session = manager.get_session(session.id, fresh=True)
    return session
