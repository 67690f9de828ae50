"""Two web processes on one database and one Redis: a session is the same in both."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from sessions_unified.conf import get_conf
from tests.charges import audit, charges
from tests.live_site import Caller, Shopper, running_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Redis carries an invalidation in milliseconds; a loaded machine is given this long.
INVALIDATION_SECONDS = 1.0


@pytest.fixture(scope="module")
def pair(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Run two processes that answer for one shop: tokens of one open in the other."""
    records, shop = tmp_path_factory.mktemp("pair"), {"SITE_URL": "http://shop.example"}
    with running_site(records, **shop) as first, running_site(records, **shop) as second:
        yield first, second


@pytest.fixture
def sites(pair: tuple[str, str], transactional_db: None) -> tuple[str, str]:
    return pair


def at(site: str, shopper: Shopper) -> Shopper:
    return Shopper(base=site, id=shopper.id, token=shopper.token, headers=dict(shopper.headers))


def within(seconds: float, look: Callable[[], Any], wanted: Any) -> float:
    """Return after how many seconds ``look`` gives what is wanted; fail if it takes too long."""
    began = time.monotonic()
    while (found := look()) != wanted:
        assert time.monotonic() - began < seconds, found
        time.sleep(0.005)
    return time.monotonic() - began


def warm(*shoppers: Shopper) -> None:
    """Read until each process surely holds a copy of its own and says so."""
    for shopper in shoppers:

        def holds_a_copy(shopper: Shopper = shopper) -> bool:
            shopper.get()
            tiers = shopper.send("GET", f"{shopper.path}/validate").json["tiers"]
            return any(tier["name"] == "memory" and tier["isPresent"] for tier in tiers)

        within(5, holds_a_copy, wanted=True)


def test_a_session_made_in_one_process_walks_on_in_the_other(sites: tuple[str, str]) -> None:
    first, second = sites
    here = Shopper.start(first)
    there = at(second, here)

    read = there.get()
    paid = there.pay()
    serum = here.answer("upsell-1-serum")
    club = there.answer("upsell-2-subscription", "decline")
    lamp = here.answer("upsell-2-lamp")

    assert read.json["id"] == here.id
    assert paid.status == serum.status == club.status == lamp.status == 200
    assert lamp.json["next"]["step"] == "success"
    final = [each.get().json for each in (here, there)]
    assert final[0] == final[1]
    assert final[0]["upsells"]["accepted"] == ["upsell-1-serum", "upsell-2-lamp"]
    assert len(charges(here.id)) == 3
    audit(here.id)


def test_a_write_in_one_process_replaces_the_warm_copy_in_the_other(
    sites: tuple[str, str],
) -> None:
    here = Shopper.start(sites[0])
    there = at(sites[1], here)
    warm(here, there)

    for number in range(10):
        writer, reader = (here, there) if number % 2 else (there, here)
        written = writer.patch({"metadata": {"n": number}})
        assert written.status == 200
        assert writer.get().json["metadata"] == {"n": number}  # its own write, at once
        within(
            INVALIDATION_SECONDS, lambda r=reader: r.get().json["version"], written.json["version"]
        )
        warm(here, there)


def test_a_session_deleted_in_one_process_is_gone_in_the_other(sites: tuple[str, str]) -> None:
    here = Shopper.start(sites[0])
    there = at(sites[1], here)
    warm(here, there)

    deleted = here.send("DELETE", here.path)

    assert deleted.status == 204
    assert here.get().status == 404
    within(INVALIDATION_SECONDS, lambda: there.get().status, 404)
    for _ in range(20):
        assert there.get().status == here.get().status == 404
    assert there.patch({"metadata": {"x": 1}}).status == 404


def test_a_payment_in_one_process_is_seen_by_a_payment_in_the_other(
    sites: tuple[str, str],
) -> None:
    here = Shopper.start(sites[0])
    there = at(sites[1], here)
    warm(here, there)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda each: each.pay(key="k"), (here, there)))

    assert {each.status for each in answers} <= {200, 409}
    assert there.pay(key="k").body == here.pay(key="k").body
    assert len(charges(here.id)) == 1
    audit(here.id)


def test_two_processes_never_lose_a_write_to_each_other(sites: tuple[str, str]) -> None:
    here = Shopper.start(sites[0])
    both = [here, at(sites[1], here)]
    warm(*both)

    with ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(lambda n: both[n % 2].patch({"metadata": {f"key-{n}": n}}).status, range(24))
        )

    kept = Caller(base=sites[0], headers=here.headers).send("GET", here.path)
    succeeded = [n for n, status in enumerate(statuses) if status == 200]
    assert set(statuses) <= {200, 412}
    assert len(succeeded) >= 1
    for each in both:
        within(
            get_conf().STALENESS_BOUND_SECONDS,
            lambda each=each: each.get().json["metadata"],
            {f"key-{n}": n for n in succeeded},
        )
    assert kept.status == 200
