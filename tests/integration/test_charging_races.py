"""Double clicks, two tabs, two processes, a process killed in the middle: one charge."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from django.db import connection

from funnel.exceptions import ChargeInFlightError, OfferClosedError
from funnel.payments.sandbox.models import SandboxCharge
from sessions_unified import get_manager
from sessions_unified.exceptions import InvalidTransitionError, SessionHeldError
from tests.charges import State, answer, attempts, audit, charges, paid, pay, start, states
from tests.holding import VARIABLE, held_back
from tests.live_site import Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import StartWebServer
    from tests.gateways import ScriptedGateway

pytestmark = [pytest.mark.django_db(transaction=True)]

CLICKS = 20


def together(call: Callable[[int], Any], *, clicks: int = CLICKS) -> Counter[Any]:
    """Call from many threads at once; return how often each status or error came."""

    def click(number: int) -> Any:
        try:
            return call(number).status
        except (ChargeInFlightError, OfferClosedError, InvalidTransitionError) as exc:
            return type(exc)
        finally:
            connection.close()

    with ThreadPoolExecutor(clicks) as pool:
        return Counter(pool.map(click, range(clicks)))


@pytest.mark.parametrize("latency", [0, 0.3])
@pytest.mark.parametrize("same_key", [True, False])
def test_r23_twenty_clicks_on_pay_are_one_charge(
    gateway: type[ScriptedGateway],
    monkeypatch: pytest.MonkeyPatch,
    latency: float,
    *,
    same_key: bool,
) -> None:
    monkeypatch.setattr(gateway, "latency_seconds", latency)
    session_id = start()

    outcomes = together(lambda n: pay(session_id, key="k" if same_key else f"k{n}"))

    assert set(outcomes) <= {200, ChargeInFlightError}
    assert outcomes[200] >= 1
    assert len(gateway.calls) == len(charges(session_id)) == 1
    assert states(session_id) == [State.SUCCEEDED]
    audit(session_id)


@pytest.mark.parametrize("same_key", [True, False])
def test_r23_twenty_clicks_on_an_offer_are_one_charge(
    gateway: type[ScriptedGateway], monkeypatch: pytest.MonkeyPatch, *, same_key: bool
) -> None:
    session_id = paid()
    monkeypatch.setattr(gateway, "latency_seconds", 0.1)

    outcomes = together(
        lambda n: answer(session_id, "upsell-1-serum", key="k" if same_key else f"k{n}")
    )

    assert outcomes[200] >= 1
    assert len(charges(session_id)) == 2
    audit(session_id)


def test_two_offers_of_one_step_taken_at_once_are_one_charge(
    gateway: type[ScriptedGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = paid()
    monkeypatch.setattr(gateway, "latency_seconds", 0.1)
    offers = ("upsell-1-serum", "upsell-1-bundle")

    outcomes = together(lambda n: answer(session_id, offers[n % 2]))

    assert outcomes[200] >= 1
    assert len(charges(session_id)) == 2
    audit(session_id)


def test_a_delete_and_a_payment_at_once_never_leave_a_charge_without_its_session(
    gateway: type[ScriptedGateway],
) -> None:
    from sessions_unified.exceptions import SessionNotFoundError

    for _ in range(5):
        session_id = start()

        def race(number: int, session_id: str = session_id) -> str:
            try:
                if number:
                    pay(session_id)
                    return "paid"
                get_manager().delete_session(session_id)
            except (SessionHeldError, SessionNotFoundError) as exc:
                return type(exc).__name__
            finally:
                connection.close()
            return "deleted"

        with ThreadPoolExecutor(2) as pool:
            done = set(pool.map(race, range(2)))

        if len(charges(session_id)) == 0:
            assert done == {"deleted", "SessionNotFoundError"}
        else:
            assert states(session_id) == [State.SUCCEEDED]
            assert "paid" in done


def held_gateway(hold: Path) -> dict[str, str]:
    """Return the environment of a shop whose gateway `held_back` holds."""
    return {"PAYMENT_GATEWAY": "tests.gateways.HeldGateway", VARIABLE: str(hold)}


def test_r23_clicks_over_two_processes_are_one_charge(
    web_server: StartWebServer, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    shopper = Shopper.start(web_server(processes=2, threads=4, **held_gateway(hold)))

    with ThreadPoolExecutor(CLICKS) as pool:
        with held_back(hold):
            clicks = [pool.submit(shopper.pay, key="k") for _ in range(CLICKS)]
            wait_for(lambda: sum(each.done() for each in clicks) == CLICKS - 1)
        same = [each.result() for each in clicks]
        other = list(pool.map(lambda n: shopper.pay(key=f"k{n}"), range(CLICKS)))

    assert Counter(each.status for each in same) == {200: 1, 409: CLICKS - 1}
    for each in same:
        if each.status == 409:
            assert each.is_problem(409, "charge_in_flight")
            assert each.headers["Retry-After"]
    assert {each.status for each in other} == {200}
    assert shopper.pay(key="k").body == next(each.body for each in same if each.status == 200)
    assert len(charges(shopper.id)) == 1
    audit(shopper.id)


def test_r21_a_process_killed_during_the_call_leaves_a_claim_and_no_second_charge(
    web_server: StartWebServer, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    dying = web_server(**held_gateway(hold), SITE_URL="http://shop.example")
    shopper = Shopper.start(dying)

    with ThreadPoolExecutor(1) as pool, held_back(hold):
        lost = pool.submit(shopper.pay, key="k")
        wait_for(lambda: len(charges(shopper.id)) == 1)
        _kill_server(dying)
        with pytest.raises(OSError, match=r"."):
            lost.result(60)

    survivor = web_server(SITE_URL="http://shop.example")
    shopper.base = survivor
    same, newer = shopper.pay(key="k"), shopper.pay(key="k2")
    deleted = shopper.send("DELETE", shopper.path)
    read = shopper.get()

    assert states(shopper.id) == [State.CLAIMED]
    assert same.is_problem(409, "charge_in_flight")
    assert newer.is_problem(409, "charge_in_flight")
    assert deleted.is_problem(409, "session_held")
    assert read.json["currentStep"] == "processing"
    assert SandboxCharge.objects.count() == 1
    audit(shopper.id)
    _learn(shopper.id)
    assert shopper.pay(key="k").status == 200
    audit(shopper.id)


def _learn(session_id: str) -> None:
    """Ask the gateway what became of the claim, as the sweeper will."""
    from funnel.payments import settling
    from funnel.payments.gateway import get_gateway

    (attempt,) = attempts(session_id)
    receipt = get_gateway().query(attempt.gateway_order_id)
    assert receipt is not None
    settling.settle(get_manager(), attempt.pk, receipt)


def _kill_server(url: str) -> None:
    """SIGKILL the master and its workers, found by the port in the master's command line."""
    bind = url.removeprefix("http://")
    for process in psutil.Process().children():
        if bind in process.cmdline():
            for each in [process, *process.children(recursive=True)]:
                each.kill()
            return
    pytest.fail("The server's process was not found.")
