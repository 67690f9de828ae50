"""The same request twice, over HTTP: while the gateway is asked, without Redis, after a SIGKILL."""

from __future__ import annotations

import http.client
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from funnel.payments import settling
from funnel.payments.gateway import get_gateway
from sessions_unified import get_manager
from tests.charges import attempts, audit, charges
from tests.live_site import Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tests.fault_site import FaultSite
    from tests.live_site import Answer

CLICKS = 50


def pay_until_cut(shopper: Shopper) -> Answer | None:
    """Pay; None: the answer never came."""
    try:
        return shopper.pay(key="k")
    except (http.client.HTTPException, ConnectionError):
        return None


def answered(requests: list[Future[Answer]]) -> int:
    return sum(each.done() for each in requests)


def test_r23_a_duplicate_waits_then_gets_the_same_answer_and_another_body_none(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(patient_pair[0].base)
    there = patient_pair[1].at(here)

    with ThreadPoolExecutor(1) as pool:
        with patient_pair[0].gateway_held_back():
            paying = pool.submit(here.pay, key="k")
            wait_for(lambda: charges(here.id))
            in_flight = [here.pay(key="k"), there.pay(key="k"), there.pay(key="k2")]
            other_body = there.pay("tok_decline", key="k")
        paid = paying.result()
    again = [here.pay(key="k"), there.pay(key="k")]

    assert paid.status == 200
    for each in in_flight:
        assert each.is_problem(409, "charge_in_flight")
        assert each.headers["Retry-After"]
    assert other_body.is_problem(422, "idempotency_key_reused")
    assert [(each.status, each.body) for each in again] == [(200, paid.body)] * 2
    assert here.pay("tok_decline", key="k").status == 422
    assert len(charges(here.id)) == 1
    audit(here.id)


def test_r23_without_redis_duplicates_meet_in_the_database(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(patient_pair[0].base)
    there = patient_pair[1].at(here)
    patient_pair[0].redis.refuse()
    patient_pair[1].redis.hang()

    with ThreadPoolExecutor(2) as pool:
        with patient_pair[0].gateway_held_back():
            paying = [pool.submit(each.pay, key="k") for each in (here, there)]
            wait_for(lambda: answered(paying) == 1)
        answers = [each.result() for each in paying]

    assert sorted(each.status for each in answers) == [200, 409]
    assert here.pay(key="k").body == there.pay(key="k").body
    assert len(charges(here.id)) == 1
    audit(here.id)


def test_r21_r23_a_process_killed_while_it_charges_leaves_one_charge_and_no_second(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(patient_pair[0].base)
    there = patient_pair[1].at(here)

    with ThreadPoolExecutor(1) as pool, patient_pair[0].gateway_held_back():
        paying = pool.submit(pay_until_cut, here)
        wait_for(lambda: charges(here.id))
        patient_pair[0].kill_workers()
        assert paying.result() is None
    while_open = [there.pay(key="k"), there.pay(key="k2"), there.pay("tok_decline", key="k")]
    (attempt,) = attempts(here.id)
    receipt = get_gateway().query(attempt.gateway_order_id)
    assert receipt is not None
    settling.settle(get_manager(), attempt.pk, receipt)
    patient_pair[0].wait_until_up()

    assert [each.status for each in while_open] == [409, 409, 422]
    assert here.pay(key="k").status == 200
    assert here.pay(key="k").body == there.pay(key="k").body
    assert len(charges(here.id)) == 1
    audit(here.id)


def test_r23_fifty_double_clicks_over_two_processes_are_one_charge(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(patient_pair[0].base)
    places = [here, patient_pair[1].at(here)]

    def click(number: int) -> Answer:
        # Half of them repeat one key, as a double click does; half have lost it.
        key = "k" if number % 2 else f"k-{number}"
        return places[number % 3 % 2].pay(key=key)

    with ThreadPoolExecutor(CLICKS) as pool:
        with patient_pair[0].gateway_held_back():
            clicks = [pool.submit(click, number) for number in range(CLICKS)]
            wait_for(lambda: answered(clicks) == CLICKS - 1)
        statuses = Counter(each.result().status for each in clicks)

    assert statuses == {200: 1, 409: CLICKS - 1}
    assert here.pay(key="k").status == 200
    assert len(charges(here.id)) == 1
    assert len(attempts(here.id)) == 1
    audit(here.id)


def test_r23_fifty_clicks_on_one_extra_charge_it_once(
    patient_pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(patient_pair[0].base)
    assert here.pay().status == 200
    places = [here, patient_pair[1].at(here)]

    def click(number: int) -> Answer:
        return places[number % 2].answer("upsell-1-serum", key=f"k-{number % 10}")

    with ThreadPoolExecutor(CLICKS) as pool:
        # Some come while it is charged, and some afterwards.
        with patient_pair[0].gateway_held_back():
            clicks = [pool.submit(click, number) for number in range(CLICKS)]
            wait_for(lambda: answered(clicks) >= CLICKS / 2)
        answers = [each.result() for each in clicks]

    assert {each.status for each in answers} <= {200, 409}
    assert len(charges(here.id)) == 2
    assert sorted(each.purpose for each in attempts(here.id)) == [
        "checkout",
        "upsell:upsell-1-serum",
    ]
    audit(here.id)
