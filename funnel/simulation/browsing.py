"""A browser with the old pages in it: what its localStorage holds, and how it is synchronised."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from funnel.simulation.asking import LeftError, is_open
from funnel.simulation.old_shop import COOKIE, forgotten_entry

if TYPE_CHECKING:
    from datetime import datetime

    from funnel.simulation.client import Answer
    from funnel.simulation.old_shop import OldSession
    from funnel.simulation.shopper import Shopper

_AGAIN_SECONDS: Final = 0.5


class OldBrowser:
    """What the old pages do at each visit, besides the shopper's own clicks."""

    def __init__(self, shopper: Shopper) -> None:
        self._shopper = shopper
        self._entries: dict[str, Any] = {}
        self._start_over: list[dict[str, Any]] = []
        self._has_told = False

    def bring_forgotten(self, now: datetime) -> None:
        """Hold an entry of long ago, and hear what can be begun with it."""
        entry = forgotten_entry(self._shopper.random.getrandbits(40), now)
        self._entries[entry["id"]] = entry
        self.sync()

    def start_over(self) -> list[dict[str, Any]] | None:
        """Return the products that the site suggests to begin with; None: it suggests none."""
        return self._start_over or None

    def bring(self, session: OldSession, *, secret: str) -> None:
        """Hold a session of the old shop, its cookie and its entry, and go on with it."""
        shopper = self._shopper
        shopper.browser.cookies[COOKIE] = session.cookie(secret)
        self._entries[session.id] = session.entry()
        answer = self._come_back(session.id)
        shopper.settle("come back", answer)
        shopper.adopt(answer.body)
        said = shopper.facts.said
        missing = set(session.accepted) - set(said["upsells"]["accepted"])
        if missing or (session.transaction_id or said["transactionId"]) != said["transactionId"]:
            says = f"came with {session.transaction_id} and {sorted(session.accepted)}"
            shopper.world.ledger.note("lost", session.id, says)
        if said["currentStep"] == "processing":
            raise LeftError  # staff must look at it: nobody knows whether it was paid

    def _come_back(self, session_id: str) -> Answer:
        """Ask for it by the old cookie, which opens nothing while the old shop's store is away."""
        shopper = self._shopper
        until = time.monotonic() + shopper.world.patience_seconds
        while True:
            answer = shopper.ask("come back", "GET", f"/api/session/{session_id}")
            is_late = time.monotonic() + _AGAIN_SECONDS > until
            if answer.status != HTTPStatus.UNAUTHORIZED or is_late:
                return answer
            shopper.world.tally.note("old cookie opened nothing yet")
            if shopper.world.stop.wait(_AGAIN_SECONDS):
                raise LeftError

    def sync(self) -> None:
        """Send what localStorage holds, and hold what the site says."""
        shopper = self._shopper
        own = shopper.session_id
        if own in self._entries and not self._has_told:
            self._has_told = True
            entry = self._entries[own]
            entry["customerInfo"] = {**(entry.get("customerInfo") or {}), "phone": "+1 555 0100"}
            shopper.facts.doubt("customer")  # what is taken of it, the answer says
        answer = shopper.ask("sync", "POST", "/api/session/sync", self._entries)
        shopper.settle("sync", answer)
        for gone in answer.body["drop"]:
            self._entries.pop(gone, None)
        self._entries.update(answer.body["keep"])
        self._start_over = (answer.body["startOver"] or {}).get("products", [])
        if own in answer.body["sessions"] and not is_open(answer):
            state = answer.body["sessions"][own]
            shopper.see(state)
            shopper.facts.unsure.discard("customer")
            shopper.facts.said = {**shopper.facts.said, "customer": state["customer"]}
