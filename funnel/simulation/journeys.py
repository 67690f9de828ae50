"""What shoppers come for, and how they behave on the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from funnel.simulation.asking import LeftError
from funnel.simulation.browsing import OldBrowser
from funnel.simulation.ledger import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from funnel.simulation.old_shop import OldSessions
    from funnel.simulation.shopper import Shopper

_CHECKOUT: Final = "/api/checkout/process"
_UPSELL: Final = "/api/upsell/process"
_PRODUCTS: Final = ("SEED-1", "SEED-3", "SOIL", "LAMP", "POT")
_CARDS: Final = {
    "tok_approve": 85,
    "tok_decline": 6,
    "tok_approve_upsell_decline": 6,
    "tok_timeout_charged": 1,
    "tok_timeout_uncharged": 1,
    "tok_approve_upsell_timeout_charged": 1,
}
"""The sandbox's test cards, by how many in a hundred pay with them.

Whose outcome is not known at first waits for it: more of them would be most of who is inside.
"""
_NAMES: Final = ("Ana", "Zoë", "Jürgen", "Søren", "María José", "Олена", "明", "O'Neil")


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How a shopper behaves.

    Attributes:
        clicks: how many times each button is pressed at once.
        leaves_at: the step at which they go away; None: they go on to the end.
        syncs: the pages are the old ones, which send what localStorage holds.
        loses_cookie: comes back with the old cookie alone, if there is one.

    """

    clicks: int = 1
    leaves_at: str | None = None
    syncs: bool = False
    loses_cookie: bool = False


def new_shopper(shopper: Shopper, old: OldSessions) -> None:
    """Buy something."""
    order(shopper)
    walk(shopper, Habits(loses_cookie=shopper.chance(0.2)))


def double_clicker(shopper: Shopper, old: OldSessions) -> None:
    """Press every button twice."""
    order(shopper)
    walk(shopper, Habits(clicks=2))


def abandoner(shopper: Shopper, old: OldSessions) -> None:
    """Leave somewhere on the way."""
    order(shopper)
    walk(shopper, Habits(leaves_at=shopper.random.choice(STEPS)))


def deleter(shopper: Shopper, old: OldSessions) -> None:
    """Begin, and have it deleted."""
    order(shopper)
    shopper.think()
    shopper.delete()


def old_browser(shopper: Shopper, old: OldSessions) -> None:
    """Come with what the old pages kept, of a session that no server knows any more."""
    browser = OldBrowser(shopper)
    browser.bring_forgotten(datetime.now(tz=UTC))
    order(shopper, products=browser.start_over())
    walk(shopper, Habits(syncs=True), browser)


def cookie_holder(shopper: Shopper, old: OldSessions) -> None:
    """Go on with a session of the old shop; once all of those are taken, with a new one."""
    session = old.take()
    if session is None:
        order(shopper)
        walk(shopper, Habits(loses_cookie=True))
        return
    browser = OldBrowser(shopper)
    browser.bring(session, secret=old.secret)
    walk(shopper, Habits(syncs=True), browser)


JOURNEYS: Final[dict[str, tuple[int, Callable[[Shopper, OldSessions], None]]]] = {
    "new shoppers": (44, new_shopper),
    "double clicks": (14, double_clicker),
    "old browsers": (16, old_browser),
    "old cookies": (14, cookie_holder),
    "abandonments": (10, abandoner),
    "deletions": (2, deleter),
}
"""Kind → its share in per cent, and what it does."""


def order(shopper: Shopper, *, products: list[dict[str, Any]] | None = None) -> None:
    """Begin a session, and change one's mind."""
    random = shopper.random
    chosen = products or [_line(shopper) for _ in range(random.choice((1, 1, 2)))]
    first = {each["id"]: each for each in chosen}
    shopper.create(
        email=f"{shopper.name}@example.org",
        products=list(first.values()),
        metadata={"source": random.choice(("ad", "mail", "search"))},
    )
    shopper.think()
    name = {"firstName": random.choice(_NAMES), "lastName": random.choice(_NAMES)}
    shopper.edit(customer=name, metadata={"page": random.randrange(100)})
    if shopper.chance(0.2):
        shopper.edit(products=[_line(shopper)])
    if shopper.chance(0.2):
        shopper.edit_twice_at_once({"left": random.random()}, {"right": random.random()})


def walk(shopper: Shopper, habits: Habits, browser: OldBrowser | None = None) -> None:
    """Go from where the session is to the end of the funnel, or away."""
    while shopper.step != "success":
        if shopper.chance(0.5):
            shopper.reload()
        if habits.syncs and browser is not None:
            browser.sync()
        shopper.think()
        if habits.leaves_at == shopper.step:
            raise LeftError
        if shopper.step == "checkout":
            pay(shopper, habits)
        else:
            answer_offers(shopper, habits)
    if habits.syncs and browser is not None:
        browser.sync()
    shopper.reload()


def pay(shopper: Shopper, habits: Habits) -> None:
    """Pay, with another card where one is declined."""
    (card,) = shopper.random.choices(list(_CARDS), list(_CARDS.values()))
    body: dict[str, Any] = {"paymentToken": card}
    if shopper.chance(0.2) and "bump-labels" not in _ids(shopper):
        body["bumps"] = ["bump-labels"]
    is_paid = shopper.pay(body, clicks=habits.clicks)
    if not is_paid:
        shopper.think()
        body["paymentToken"] = "tok_approve"
        is_paid = shopper.pay(body, clicks=habits.clicks)
    if not is_paid:
        raise LeftError
    if habits.clicks > 1:
        shopper.click_again("checkout", _CHECKOUT, {"paymentToken": "tok_approve"})
    if habits.loses_cookie:
        shopper.lose_our_cookie()


def answer_offers(shopper: Shopper, habits: Habits) -> None:
    """Take or refuse the first offer that is open."""
    if not shopper.offers:
        shopper.look_for_offers()
    offer = shopper.offers[0]
    decision = "accept" if shopper.chance(0.5) else "decline"
    body = {"offer": offer, "decision": decision}
    was_done = shopper.answer_offer(body, clicks=habits.clicks)
    if not was_done:
        body["decision"] = "decline"
        was_done = shopper.answer_offer(body, clicks=habits.clicks)
    if not was_done:
        raise LeftError
    if habits.clicks > 1:
        shopper.click_again("upsell", _UPSELL, body)


def _line(shopper: Shopper) -> dict[str, Any]:
    return {"id": shopper.random.choice(_PRODUCTS), "quantity": shopper.random.choice((1, 1, 2, 3))}


def _ids(shopper: Shopper) -> set[str]:
    return {line["id"] for line in shopper.facts.said["products"]}
