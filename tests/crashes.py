"""A shop on the NMI simulator whose web processes are SIGKILLed in the middle of charges."""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from django.db import connection

from funnel.payments.models import ChargeAttempt
from funnel.payments.nmi.simulator.modes import MODES
from funnel.payments.recovery.reviewing import Decision, not_executed, settle_with
from funnel.payments.recovery.sweeping import sweep
from sessions_unified import get_manager
from sessions_unified.models import SessionEvent, UnifiedSession
from tests.books import differences, is_as_asked
from tests.fault_site import fault_site
from tests.live_site import Answer, Caller, Shopper
from tests.managing import wait_for
from tests.paused_gateway import POINTS
from tests.sweeps import make_due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from funnel.payments.nmi.simulator import Simulator
    from tests.fault_site import FaultSite

State = ChargeAttempt.State
CUT = (http.client.HTTPException, ConnectionError)
OFFER = "upsell-1-serum"
# Short waits, so that a run takes a second; a review may be decided at once.
FUNNEL = {
    "LEASE_SECONDS": 2,
    "CHECK_SECONDS": 0.01,
    "CHECK_LONGEST_SECONDS": 0.01,
    "CHECKS_BEFORE_REVIEW": 4,
    "REVIEW_SECONDS": 0,
    "DECLINES_PER_ADDRESS": 0,
    "DECLINES_PER_CARD": 0,
}
TIMEOUT_SECONDS = 0.6
INSISTS = 10
_keys = itertools.count(1)
# What a repeated or a second request may be answered while and after all this.
ALLOWED = {200, 202, 402, 409}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run: what is done, what the gateway does, and where the process dies."""

    seed: int
    operation: str
    mode: str
    point: str
    has_webhooks: bool
    clicks: int

    @classmethod
    def of(cls, seed: int) -> Plan:
        """Return the run of a seed; successive seeds come through all modes and points."""
        chance = Random(seed)
        modes = sorted(MODES)
        return cls(
            seed=seed,
            operation=("checkout", "upsell")[seed % 2],
            mode=modes[(seed // 2) % len(modes)] if seed >= len(POINTS) else chance.choice(modes),
            point=POINTS[(seed + seed // len(POINTS)) % len(POINTS)],
            has_webhooks=chance.random() < 0.5,
            clicks=chance.randint(0, 2),
        )


@dataclass(frozen=True, kw_only=True)
class Buyer:
    """A shopper who pays for one thing, with one card, as often as it takes to get an answer."""

    shopper: Shopper
    is_first: bool
    token: str

    @property
    def purpose(self) -> str:
        return "checkout" if self.is_first else f"upsell:{OFFER}"

    def send(self, key: str) -> Answer | None:
        """Send the request; None: its process died."""
        try:
            if self.is_first:
                return self.shopper.pay(self.token, key=key)
            return self.shopper.answer(OFFER, key=key)
        except CUT:
            return None

    def insist(self, key: str) -> Answer:
        """Send until a process answers: gunicorn replaces the one that was killed."""
        deadline = time.monotonic() + 120
        while (answer := self.send(key)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert answer.status in ALLOWED, answer.body
        return answer

    def pay_otherwise(self, token: str, *, key: str) -> Answer:
        """Pay with another card, where this one was refused."""
        if self.is_first:
            return self.shopper.pay(token, key=key)
        return self.shopper.answer(OFFER, key=key)

    def story(self) -> list[str]:
        """Return what became of each attempt, for people."""
        attempts = ChargeAttempt.objects.filter(session_id=self.shopper.id).order_by("pk")
        return [f"{each.purpose} {each.state}: {each.reason} {each.response}" for each in attempts]

    def has_reached_nobody(self) -> bool:
        """Tell whether the last attempt did not come to the gateway in time."""
        attempts = ChargeAttempt.objects.filter(session_id=self.shopper.id).order_by("pk")
        return attempts.reverse()[0].reason.startswith("NMI could not be reached")

    def states(self) -> list[str]:
        attempts = ChargeAttempt.objects.filter(session_id=self.shopper.id, purpose=self.purpose)
        return list(attempts.values_list("state", flat=True))


@dataclass(kw_only=True)
class Rig:
    """The simulator, the shop, and where its processes are told to die.

    Attributes:
        kills: how many died at each point.

    """

    sim: Simulator
    site: FaultSite
    directory: Path
    kills: Counter[str] = field(default_factory=Counter)

    def run(self, plan: Plan) -> None:
        """Charge and die, recover, and compare the books."""
        buyer = self._begin(plan)
        answer = self._charge_and_die(buyer, plan)
        self._click_again(buyer, plan)
        self._let_the_gateway_finish()
        recover()
        decide(self.sim)
        assert differences(self.sim) == []
        check_session(buyer.shopper.id)
        self._ask_again(buyer, answer)
        self._pay_after_all(buyer)
        # The last charge's webhook too: the tables are emptied next.
        self._let_the_gateway_finish()

    def begin_anew(self) -> None:
        """Forget the books of both sides."""
        self.sim.reset()
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE funnel_chargeattempt CASCADE")

    def _begin(self, plan: Plan) -> Buyer:
        self.sim.modes.reset()
        self.sim.webhooks.reset()
        url = f"{self.site.base}/api/webhooks/nmi"
        self.sim.webhooks.url = url if plan.has_webhooks else ""
        is_first = plan.operation == "checkout"
        buyer = Buyer(
            shopper=Shopper.start(self.site.base), is_first=is_first, token=self.sim.token()
        )
        if not is_first:
            paid = self._insist(buyer, lambda key: buyer.shopper.pay(buyer.token, key=key))
            assert paid.status == 200, paid.body
        self.sim.mode(plan.mode, times=1, sales="first" if is_first else "later")
        return buyer

    def _charge_and_die(self, buyer: Buyer, plan: Plan) -> Answer | None:
        """Send the request, kill its process where the plan says; None: it never answered."""
        armed, reached = self.directory / "armed", self.directory / "reached"
        armed.write_text(plan.point)
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(buyer.send, "the-key")
            wait_for(lambda: sending.done() or reached.exists(), seconds=60)
            if reached.exists():
                os.kill(int(reached.read_text()), signal.SIGKILL)
                self.kills[plan.point] += 1
            answer = sending.result(timeout=60)
        for left in (armed, reached):
            left.unlink(missing_ok=True)
        self.sim.modes.reset()  # it may have died before it came to the gateway
        return answer

    def _insist(self, buyer: Buyer, pay: Callable[[str], Answer]) -> Answer:
        """Pay under new keys until the gateway is reached: a busy machine outlasts the timeout."""
        for _ in range(INSISTS):
            key = f"insist-{next(_keys)}"
            answer = pay(key)
            if answer.status == 202:
                self._let_the_gateway_finish()
                recover()
                answer = pay(key)
            if not buyer.has_reached_nobody():
                break
        return answer

    def _let_the_gateway_finish(self) -> None:
        """Wait until it has done all that it was asked, and told all that it has to tell.

        Staff may call a charge "not executed" an hour after it came into review. Here the hour is
        over at once, so what a dead process had sent must not arrive after it.
        """
        # Answered after everything that was waiting to be accepted.
        Caller(base=self.sim.url).send("GET", "/_control/")
        wait_for(lambda: not _requests_of_the_gateway())
        self.sim.webhooks.release(is_reversed=True)
        assert self.sim.webhooks.drain()

    @staticmethod
    def _click_again(buyer: Buyer, plan: Plan) -> None:
        """Repeat the request, and send it under other keys, all at once."""
        keys = ["the-key"] * plan.clicks + [f"other-{number}" for number in range(plan.clicks)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(buyer.insist, keys))

    @staticmethod
    def _ask_again(buyer: Buyer, answer: Answer | None) -> None:
        """Repeat the request: what was answered definitely is answered again, byte for byte."""
        again = buyer.insist("the-key")
        if answer is not None and answer.status in {200, 402}:
            assert again.status == answer.status
            assert again.body == answer.body, (again.body, answer.body)

    def _pay_after_all(self, buyer: Buyer) -> None:
        """What was refused can be paid: nothing of the crash stands in the way."""
        states = buyer.states()
        assert states.count(State.SUCCEEDED) <= 1
        if State.NEEDS_REVIEW in states or State.SUCCEEDED in states:
            return
        token = self.sim.token("5431111111111111")
        paid = self._insist(buyer, lambda key: buyer.pay_otherwise(token, key=key))
        assert paid.status == 200, (paid.body, buyer.story())
        assert buyer.states().count(State.SUCCEEDED) == 1
        assert differences(self.sim) == []


def _requests_of_the_gateway() -> list[str]:
    """Return the threads in which the simulator answers requests; so `socketserver` names them."""
    return [each.name for each in threading.enumerate() if "process_request" in each.name]


def recover() -> None:
    """Sweep until nothing is left to ask for."""
    for _ in range(20):
        make_due()
        sweep()
        if not ChargeAttempt.objects.filter(state__in=[State.CLAIMED, State.UNKNOWN]).exists():
            break
        time.sleep(0.02)


def decide(sim: Simulator) -> None:
    """Let staff look into the gateway's own books, and decide.

    What is not the charge that was sent cannot be settled by anybody: it stays in review.
    """
    manager = get_manager()
    decision = Decision(by="staff", reason="Looked it up in the gateway's console")
    for attempt in ChargeAttempt.objects.filter(state=State.NEEDS_REVIEW):
        charges = [each for each in sim.books.of_order(attempt.gateway_order_id) if each.is_charge]
        if not charges:
            not_executed(manager, attempt, decision)
        elif is_as_asked(attempt, charges[0]):
            settle_with(manager, attempt, charges[0].transaction_id, decision)


def check_session(session_id: str) -> None:
    """Check that the session, its events and its attempts tell one story."""
    row = UnifiedSession.objects.get(pk=session_id)
    found = list(ChargeAttempt.objects.filter(session_id=session_id))
    seqs = SessionEvent.objects.filter(session_id=session_id).order_by("seq")
    assert list(seqs.values_list("seq", flat=True)) == list(range(1, row.version + 1))
    assert row.holds == sum(each.is_open for each in found)
    order = [each for each in found if (each.purpose, each.state) == ("checkout", "succeeded")]
    assert row.transaction_id == (order[0].transaction_id if order else None)
    paid = {each.purpose.partition(":")[2] for each in found if each.state == State.SUCCEEDED}
    assert set(row.upsells.get("accepted", [])) == paid - {""}


def nmi_settings(sim: Simulator) -> dict[str, object]:
    """Return ``FUNNEL["NMI"]`` of a shop that does not wait long."""
    return sim.settings | {"TIMEOUT_SECONDS": TIMEOUT_SECONDS}


@contextmanager
def crash_rig(records: Path, sim: Simulator, *, redis_url: str, database_url: str) -> Iterator[Rig]:
    """Run the shop with processes to spare, so that it answers while one is replaced."""
    directory = records / "points"
    directory.mkdir()
    funnel = FUNNEL | {"GATEWAY": "tests.paused_gateway.PausingGateway", "NMI": nmi_settings(sim)}
    with fault_site(
        records,
        redis_url=redis_url,
        database_url=database_url,
        settings={"FUNNEL": funnel},
        processes=3,
        DJANGO_SETTINGS_MODULE="tests.crash_settings",
        CRASH_DIR=str(directory),
        INSECURE_HTTP="1",
    ) as site:
        yield Rig(sim=sim, site=site, directory=directory)
