"""The flow: its moves, its positions, and the sandbox's cards that lead through it."""

from __future__ import annotations

from docs.generators.markdown import prose, table


def moves_block() -> str:
    """Return the table of the legal moves."""
    from sessions_unified.flow import default_moves  # noqa: PLC0415

    rows = (
        (
            f"`{move.name}`",
            f"`{move.before}`",
            f"`{move.after}`",
            "yes" if move.by_client else "no: it follows from a charge",
        )
        for move in default_moves()
    )
    return table(("Move", "From", "To", "May a client ask for it?"), rows)


def positions_block() -> str:
    """Return the table of the positions, with the time a session may stay there."""
    from sessions_unified.conf import Conf  # noqa: PLC0415
    from sessions_unified.flow import COMPLETED, FlowTable, default_moves  # noqa: PLC0415

    conf = Conf()
    rows = []
    for position in FlowTable(default_moves()).positions:
        idle = conf.IDLE_LIMIT_SECONDS.get(position.step)
        if position.status == COMPLETED:
            limit = f"{duration(conf.RECEIPT_LIMIT_SECONDS)} after completing"
        else:
            limit = f"{duration(conf.ABSOLUTE_LIMIT_SECONDS)} after creation"
            limit += f", or {duration(idle)} without a sign of the shopper" if idle else ""
        rows.append((f"`{position.step}`", f"`{position.status}`", limit))
    return table(("Step", "Status", "Ends"), rows)


def offers_block() -> str:
    """Return the table of the shop's offers."""
    from funnel.catalog import CURRENCY, OFFERS  # noqa: PLC0415

    rows = (
        (
            f"`{offer.id}`",
            f"`{offer.step}`",
            f"{offer.price} {CURRENCY}",
            "in the order, before it is paid"
            if offer.is_bump
            else "from the beginning"
            if offer.follows is None
            else f"when `{offer.follows}` is declined",
        )
        for offer in OFFERS.values()
    )
    return table(("Offer", "Step", "Price", "Open"), rows)


def duration(seconds: float) -> str:
    """Return a duration in words."""
    if seconds % 3600 == 0:
        return f"{seconds // 3600:g} h"
    return f"{seconds // 60:g} min" if seconds % 60 == 0 else f"{seconds:g} s"


def cards_block() -> str:
    """Return the table of the sandbox gateway's payment tokens."""
    from funnel.payments.sandbox.gateway import CARDS  # noqa: PLC0415

    rows = ((f"`{token}`", prose(card.label.partition(": ")[2])) for token, card in CARDS.items())
    return table(("Payment token", "What happens"), rows)
