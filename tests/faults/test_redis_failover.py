"""Redis fails over to a replica that had not heard of the latest writes."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from funnel.local.child import Child
from sessions_unified import event_log
from sessions_unified.manager import UnifiedSessionManager
from tests.fault_servers import own_valkey, replicate
from tests.fault_site import SHORT, merged, site_environment
from tests.live_site import Shopper
from tests.managing import ORDER, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sessions_unified.tiers import Tiers
    from tests.fault_proxy import FaultProxy
    from tests.fault_servers import OwnServer
    from tests.fault_site import FaultSite

BOUND_SECONDS = 2
TRAVEL_SECONDS = 0.3


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    with own_valkey(tmp_path_factory.mktemp("replica")) as server:
        yield server


@pytest.fixture
def sites(
    patient_pair: tuple[FaultSite, FaultSite], valkey: OwnServer
) -> Iterator[tuple[FaultSite, FaultSite]]:
    """Return the two, which go back to the first Redis afterwards."""
    yield patient_pair
    move(patient_pair, valkey)


@pytest.fixture
def start_relay(database_url: str, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Return a function that runs the relay in a process of its own."""
    with ExitStack() as stack:

        def start(redis_url: str, settings: dict[str, Any]) -> None:
            changes = settings | {"RELAY_POLL_SECONDS": 0.1}
            relay = Child(
                name="relay",
                argv=[sys.executable, "manage.py", "run_relay"],
                records=tmp_path,
                env=site_environment(
                    redis_url=redis_url,
                    database_url=database_url,
                    settings=merged(SHORT, {"SESSIONS_UNIFIED": changes}),
                    LOG_LEVEL="INFO",
                ),
            )
            log = tmp_path / "relay.log"
            stack.callback(lambda: print(log.read_text()))
            stack.callback(relay.stop)
            with log.open("wb") as output:
                relay.start(output=output)

        yield start


def move(sites: tuple[FaultSite, FaultSite], to: OwnServer) -> None:
    for site in sites:
        site.redis.target = to.target
        site.redis.drop_connections()


def test_r16_a_copy_that_a_failover_brings_back_lives_at_most_the_bound(
    sites: tuple[FaultSite, FaultSite], valkey: OwnServer, replica: OwnServer
) -> None:
    here = Shopper.start(sites[0].base)
    shoppers = [here, sites[1].at(here)]
    old = shoppers[0].get().json["version"]
    with replicate(replica, of=valkey) as follower:
        follower.replicaof("NO", "ONE")
        written = here.patch({"metadata": {"n": 1}})
        committed = time.monotonic()
        assert written.json["version"] > old
        move(sites, replica)
        assert follower.keys(f"*{here.id}*")  # the old copy is there

    oldest, old_answers = 0.0, 0
    while time.monotonic() - committed < BOUND_SECONDS + 2 * TRAVEL_SECONDS:
        for shopper in shoppers:
            asked = time.monotonic()
            if shopper.get().json["version"] == old:
                oldest, old_answers = max(oldest, asked - committed), old_answers + 1

    print(f"the oldest of {old_answers} old answers was {oldest:.2f} s behind its write")
    assert oldest <= BOUND_SECONDS + TRAVEL_SECONDS
    for shopper in shoppers:
        assert shopper.get().json["version"] == written.json["version"]


def test_r16_the_relay_heals_what_a_failover_brings_back_before_the_bound(
    make_process: Callable[..., Tiers],
    redis_proxy: FaultProxy,
    start_relay: Callable[..., None],
    valkey: OwnServer,
    replica: OwnServer,
) -> None:
    # The bound is a minute here: what ends the old copy earlier is the relay.
    tiers = make_process(STALENESS_BOUND_SECONDS=60, L1_ENABLED=False, REDIS_BUDGET_MS=2000)
    manager = UnifiedSessionManager(tiers=tiers)
    session = manager.create_session(**ORDER)
    start_relay(redis_proxy.url(valkey.url), {"STALENESS_BOUND_SECONDS": 60})
    wait_for(lambda: event_log.lag("caches").events == 0)
    manager.get_session(session.id)
    with replicate(replica, of=valkey) as follower:
        follower.replicaof("NO", "ONE")
    changed = manager.update_session(session.id, {"metadata": {"n": 1}})
    wait_for(lambda: event_log.lag("caches").events == 0)  # the relay has passed it by
    redis_proxy.target = replica.target
    redis_proxy.drop_connections()
    failed_over = time.monotonic()
    assert version_in_redis(tiers, session.id) == session.version

    wait_for(lambda: version_in_redis(tiers, session.id) != session.version, seconds=20)

    print(f"healed {time.monotonic() - failed_over:.2f} s after the failover")
    assert manager.get_session(session.id).version == changed.version


def version_in_redis(tiers: Tiers, session_id: str) -> int | None:
    assert tiers.redis is not None
    copy = tiers.redis.peek(session_id)
    return None if copy is None else copy.session.version


def test_r16_a_deleted_session_that_a_failover_brings_back_is_gone_within_the_bound(
    sites: tuple[FaultSite, FaultSite], valkey: OwnServer, replica: OwnServer
) -> None:
    here = Shopper.start(sites[0].base)
    shoppers = [here, sites[1].at(here)]
    here.get()
    with replicate(replica, of=valkey) as follower:
        follower.replicaof("NO", "ONE")
    assert here.send("DELETE", here.path).status == 204
    deleted = time.monotonic()
    move(sites, replica)
    old_answers = [0.0]

    def is_gone(shopper: Shopper) -> bool:
        asked = time.monotonic()
        if shopper.get().status == 404:
            return True
        old_answers.append(asked - deleted)
        return False

    wait_for(lambda: {is_gone(each) for each in shoppers} == {True})

    assert max(old_answers) <= BOUND_SECONDS + TRAVEL_SECONDS
    assert {each.get().status for each in shoppers} == {404}
