"""The product page's banner: what became of the order that this browser has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from funnel.flow import START_AGAIN
from funnel.storefront.ordering import can_change
from funnel.storefront.orders import order_of
from sessions_unified.flow import COMPLETED

if TYPE_CHECKING:
    from funnel.storefront.visits import Visit
    from sessions_unified.snapshot import SessionSnapshot


@dataclass(frozen=True, kw_only=True)
class Banner:
    """A sentence with a way on.

    Attributes:
        blocks: whether a new order has to wait until this one is finished.

    """

    text: str
    action: str
    url: str
    blocks: bool = False


def banner_of(visit: Visit) -> Banner | None:
    """Return what the shopper should know of their order; None if there is nothing."""
    session, url = visit.session, visit.url
    if session is None or not session.products:
        return None
    if visit.has_ended and session.status == COMPLETED:
        return None
    if url == START_AGAIN:
        text = "Your last order was not finished, and its session is over."
        return Banner(text=text, action="Start again with the same products", url=url)
    if session.status == COMPLETED:
        return Banner(text="Thank you for your order.", action="See your receipt", url=url)
    return _in_progress(session, url)


def _in_progress(session: SessionSnapshot, url: str) -> Banner:
    order = order_of(session)
    if can_change(session):
        things = "1 item" if order.items == 1 else f"{order.items} items"
        cost = f", {order.total}" if order.total else ""
        text = f"You have an order in progress: {things}{cost}."
        return Banner(text=text, action="Continue to checkout", url=url)
    if session.is_paid:
        text = "Your order is paid. Continue to see your receipt."
        return Banner(text=text, action="Continue your order", url=url, blocks=True)
    text = "We are confirming the payment of your order."
    return Banner(text=text, action="See how it stands", url=url, blocks=True)
