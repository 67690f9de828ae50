"""The same request twice, over HTTP: with a slow gateway, a lost answer, a killed process."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from funnel.payments import settling
from funnel.payments.gateway import get_gateway
from sessions_unified import get_manager
from tests.charges import attempts, audit, charges
from tests.live_site import Shopper
from tests.managing import wait_for

if TYPE_CHECKING:
    from tests.fault_site import FaultSite
    from tests.live_site import Answer


def pay_until_cut(shopper: Shopper) -> Answer | None:
    """Pay; None: the answer never came."""
    try:
        return shopper.pay(key="k")
    except (http.client.HTTPException, ConnectionError):
        return None


def test_r23_a_duplicate_waits_then_gets_the_same_answer_and_another_body_none(
    pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(pair[0].base)
    there = pair[1].at(here)

    with ThreadPoolExecutor(1) as pool:
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
    pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(pair[0].base)
    there = pair[1].at(here)
    pair[0].redis.refuse()
    pair[1].redis.hang()

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda each: each.pay(key="k"), (here, there)))

    assert sorted(each.status for each in answers) == [200, 409]
    assert here.pay(key="k").body == there.pay(key="k").body
    assert len(charges(here.id)) == 1
    audit(here.id)


def test_r21_r23_a_process_killed_while_it_charges_leaves_one_charge_and_no_second(
    pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(pair[0].base)
    there = pair[1].at(here)

    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(pay_until_cut, here)
        wait_for(lambda: charges(here.id))
        pair[0].kill_workers()
        assert paying.result() is None
    while_open = [there.pay(key="k"), there.pay(key="k2"), there.pay("tok_decline", key="k")]
    (attempt,) = attempts(here.id)
    receipt = get_gateway().query(attempt.gateway_order_id)
    assert receipt is not None
    settling.settle(get_manager(), attempt.pk, receipt)
    pair[0].wait_until_up()

    assert [each.status for each in while_open] == [409, 409, 422]
    assert here.pay(key="k").status == 200
    assert here.pay(key="k").body == there.pay(key="k").body
    assert len(charges(here.id)) == 1
    audit(here.id)


def test_r23_fifty_double_clicks_over_two_processes_are_one_charge(
    pair: tuple[FaultSite, FaultSite],
) -> None:
    here = Shopper.start(pair[0].base)
    places = [here, pair[1].at(here)]

    def click(number: int) -> Answer:
        # Half of them repeat one key, as a double click does; half have lost it.
        key = "k" if number % 2 else f"k-{number}"
        return places[number % 3 % 2].pay(key=key)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(click, range(50)))

    statuses = {each.status for each in answers}
    assert 200 in statuses
    assert statuses <= {200, 409}
    assert here.pay(key="k").status == 200
    assert len(charges(here.id)) == 1
    assert len(attempts(here.id)) == 1
    audit(here.id)


def test_r23_fifty_clicks_on_one_extra_charge_it_once(pair: tuple[FaultSite, FaultSite]) -> None:
    here = Shopper.start(pair[0].base)
    assert here.pay().status == 200
    places = [here, pair[1].at(here)]

    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(
                lambda number: places[number % 2].answer("upsell-1-serum", key=f"k-{number % 10}"),
                range(50),
            )
        )

    assert {each.status for each in answers} <= {200, 409}
    assert len(charges(here.id)) == 2
    assert sorted(each.purpose for each in attempts(here.id)) == [
        "checkout",
        "upsell:upsell-1-serum",
    ]
    audit(here.id)
