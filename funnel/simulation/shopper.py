"""One shopper: goes on with one session, and books what was acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from funnel.simulation.asking import LeftError, Visitor, at_once, is_open
from funnel.simulation.old_shop import COOKIE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from funnel.simulation.asking import World
    from funnel.simulation.client import Answer
    from funnel.simulation.ledger import Facts

_OFFERS: Final = {
    "upsell-1": ("upsell-1-serum", "upsell-1-bundle"),
    "upsell-2": ("upsell-2-subscription", "upsell-2-lamp"),
}


class Shopper(Visitor):
    """A visitor with one session, or none yet.

    Attributes:
        facts: the session, once there is one.
        offers: those open now, as the site said last.

    """

    def __init__(self, world: World, random: Random, *, name: str) -> None:
        super().__init__(world, random, name=name)
        self.offers: tuple[str, ...] = ()
        self._is_guess = False
        self._facts: Facts | None = None

    @property
    def facts(self) -> Facts:
        """The session; a shopper without one has left."""
        if self._facts is None:
            raise LeftError
        return self._facts

    @property
    def session_id(self) -> str:
        """The session's id; empty before there is one."""
        return self._facts.session_id if self._facts else ""

    @property
    def path(self) -> str:
        """Where the session is read and changed."""
        return f"/api/session/{self.facts.session_id}"

    @property
    def step(self) -> str:
        """Where the shopper is, as last acknowledged."""
        return str(self.facts.said["currentStep"])

    # One session

    def adopt(self, state: Mapping[str, Any]) -> None:
        """Go on with the session that an answer has opened."""
        self._facts = self.world.ledger.open(str(state["id"]), self.browser.cookies)
        self.facts.acknowledge(state)

    def create(self, **body: Any) -> None:
        """Begin a session."""
        answer = self.ask("create", "POST", "/api/session/create", body)
        self.settle("create", answer, expected=frozenset({201}))
        self.adopt(answer.body)

    def told(self, state: Mapping[str, Any], *changed: str) -> None:
        """Book the state that a write was answered with; ``changed``: what it was about."""
        for says in self.facts.acknowledge(state, *changed):
            self.world.ledger.note("lost", self.session_id, f"a later write's answer: {says}")

    def reload(self) -> None:
        """Read the session, and see whether it is as it was said."""
        answer = self.ask("read", "GET", self.path)
        self.settle("read", answer)
        self.see(answer.body)

    def see(self, state: Mapping[str, Any]) -> None:
        """Compare a state that was read with what was acknowledged before.

        Copies may be a minute old where Redis is away, so that it is only counted here.
        """
        for says in self.facts.contradictions(state):
            self.world.tally.behind(self.session_id, says)

    def lose_our_cookie(self) -> None:
        """Hold the old shop's cookie alone, if it was set."""
        if COOKIE in self.browser.cookies:
            for name in list(self.browser.cookies):
                if name.endswith("funnel_session"):
                    del self.browser.cookies[name]
            self.world.tally.note("came back by the old cookie")

    def edit(self, **changes: Any) -> None:
        """Change fields; each shopper writes each of them once."""
        doubts = [f"metadata.{key}" for key in changes.get("metadata", {})]
        doubts += [name for name in changes if name != "metadata"]
        if "products" in changes:
            doubts.append("amount")
        answer = self.ask("edit", "PATCH", self.path, changes)
        if is_open(answer):
            self.facts.doubt(*doubts)
        self.settle("edit", answer)
        self.told(answer.body, *doubts)

    def edit_twice_at_once(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        """Change metadata in two tabs at once: neither may take the other's with it."""
        doubts = tuple(f"metadata.{key}" for key in (*first, *second))
        answers = at_once(
            lambda: self.ask("edit", "PATCH", self.path, {"metadata": first}),
            lambda: self.ask("edit", "PATCH", self.path, {"metadata": second}),
        )
        if any(is_open(answer) for answer in answers):
            self.facts.doubt(*doubts)
        for answer in answers:
            self.settle("edit", answer)
        merged = {**self.facts.said["metadata"], **first, **second}
        self.told({**answers[0].body, "metadata": merged}, *doubts)

    def delete(self) -> None:
        """Delete the session; its cookies are kept, to look whether it stays deleted."""
        self.facts.cookies = dict(self.browser.cookies)
        self.facts.is_deleted = None
        answer = self.ask("delete", "DELETE", self.path)
        if self.settle("delete", answer, expected=frozenset({204, 404})) or answer.status == 404:  # noqa: PLR2004
            self.facts.is_deleted = True
        raise LeftError

    # Money

    def look_for_offers(self) -> None:
        """Guess which offer is open: of an old session, no answer has said it yet."""
        for offer in _OFFERS.get(self.step, ()):
            said = self.facts.said["upsells"]
            if offer not in (*said["accepted"], *said["declined"]):
                self.offers, self._is_guess = (offer,), True
                return
        raise LeftError

    def pay(self, body: dict[str, Any], *, clicks: int = 1) -> bool:
        """Pay for the order; tell whether it is paid. A declined card may be followed by another.

        More clicks are the same request at once, with the same key.
        """
        doubts = ("transactionId", "currentStep", "products", "amount", "customer")
        answer = self._charge("checkout", "/api/checkout/process", body, doubts, clicks)
        if self.settle("checkout", answer, expected=frozenset({200, 402, 429})):
            self._next(answer, *doubts)
            return True
        if answer.status == 402:  # noqa: PLR2004
            self._next(answer, *doubts)
        return False

    def answer_offer(self, body: dict[str, Any], *, clicks: int = 1) -> bool:
        """Accept or decline an offer; tell whether that was done."""
        doubts = (f"offer:{body['offer']}", "currentStep")
        answer = self._charge("upsell", "/api/upsell/process", body, doubts, clicks)
        # What of an old session is open, only the site knows.
        closed = {409} if self._is_guess else set()
        if self.settle("upsell", answer, expected=frozenset({200, 402, 429} | closed)):
            self._next(answer, *doubts)
            return True
        if answer.status == 402:  # noqa: PLR2004
            self._next(answer, *doubts)
        return False

    def click_again(self, act: str, path: str, body: dict[str, Any]) -> None:
        """Send what was done once more under a new key, as a page that was gone back to does."""
        answer = self.ask(act, "POST", path, body, Idempotency_Key=self.new_key())
        self.settle(act, answer, expected=frozenset({200, 409}))
        if answer.is_ok:
            self._same_money(answer.body["session"], self.facts.said)

    def _charge(
        self, act: str, path: str, body: dict[str, Any], doubts: tuple[str, ...], clicks: int
    ) -> Answer:
        key = self.new_key()

        def click() -> Answer:
            return self.ask(act, "POST", path, body, Idempotency_Key=key)

        # Until all clicks have answered, nobody knows.
        answers = at_once(*[click] * clicks)
        for answer in answers:
            if is_open(answer):
                self.facts.doubt(*doubts)
        done = [answer for answer in answers if answer.is_ok]
        for answer in done[1:]:
            self._same_money(answer.body["session"], done[0].body["session"])
        settled = [answer for answer in answers if not is_open(answer)]
        return (done or settled or answers)[0]

    def _same_money(self, state: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        if payments(state) != payments(said):
            says = f"two answers to one order: {payments(said)} and {payments(state)}"
            self.world.ledger.note("doubled", self.facts.session_id, says)

    def _next(self, answer: Answer, *changed: str) -> None:
        self.told(answer.body["session"], *changed)
        self.offers, self._is_guess = tuple(answer.body["next"]["offers"]), False


def payments(state: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what was paid for → the transaction."""
    details = state["upsells"]["details"]
    extras = {offer: detail.get("transactionId") for offer, detail in details.items()}
    return {"order": state["transactionId"], **extras}
