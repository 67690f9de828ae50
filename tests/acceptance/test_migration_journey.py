"""An operator moves a live shop there and back while things break: nothing acknowledged is lost."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.utils import timezone

from funnel.simulation import Simulation
from funnel.simulation.old_table import living_sessions
from legacy_adapters.migration.stages.names import Endpoint, Stage
from tests.fault_servers import own_valkey
from tests.legacy import paid_row, put, row
from tests.migrating import migrating_shop, table
from tests.migration_accounts import (
    demotions,
    disagreements,
    marks_of_ours,
    money_problems,
    unmarked_writes,
    wait_until_accounted,
    wait_until_drained,
)
from tests.migration_operator import Operator
from tests.migration_rig import (
    MIGRATION,
    SECRET,
    Shop,
    Shoppers,
    running_shop,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "legacy"])

OLD_SESSIONS = 40


@pytest.fixture
def shop(
    elsewhere: str,
    transactional_db: None,
    server_dir: Path,
    tmp_path: Path,
    settings: SettingsWrapper,
) -> Iterator[Shop]:
    """Open a shop with shoppers of before in its table."""
    from django.db import connection

    with own_valkey(server_dir / "valkey") as redis, migrating_shop(settings, alias="legacy"):
        cache = settings.CACHES["default"] | {"LOCATION": redis.url}
        settings.CACHES = {"default": cache}
        adapters = settings.LEGACY_ADAPTERS
        cookie = adapters["cookie"] | {"SECRETS": [SECRET]}
        settings.LEGACY_ADAPTERS = {**adapters, "cookie": cookie}
        settings.MIGRATION = MIGRATION | {"STAGE_CACHE_SECONDS": 0}
        put(table().table, *old_rows())
        base = site_url(connection.settings_dict["NAME"])
        with running_shop(
            tmp_path, redis=redis, database_url=base, legacy_url=site_url(elsewhere)
        ) as opened:
            yield opened


def old_rows() -> list[dict[str, Any]]:
    """Return what the old shop has: every other one has paid."""
    makes, now = (row, paid_row), timezone.now()
    return [
        makes[number % 2](
            id=f"ws_mwo5wwds_old{number}",
            email=f"old{number}@example.org",
            transaction_id=f"30299{number}" if number % 2 else None,
            created_at=now - timedelta(hours=1),
            updated_at=now - timedelta(hours=1),
            expires_at=now + timedelta(hours=23),
        )
        for number in range(OLD_SESSIONS)
    ]


def site_url(database: str) -> str:
    """Return the URL of a database of the test's server."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(url._replace(path=f"/{database}"))


@dataclass(kw_only=True)
class Journey:
    """Who takes part in it."""

    operator: Operator
    shop: Shop
    shoppers: Shoppers
    random: Random


def go_forward(journey: Journey) -> None:
    """Go from `off` to `complete`: faults on the way, a percentage widened in flight."""
    operator, shop = journey.operator, journey.shop
    operator.advance_all(Stage.DUAL_WRITE)
    operator.backfill()
    # Again where it had just repaired all that it took.
    assert any(shop.kill_worker_repairing(journey.random, seconds=20) for _ in range(3))
    assert marks_of_ours() == []
    operator.advance_all(Stage.SHADOW)
    kill_web(journey, 0)
    operator.advance(Endpoint.DETAIL, stage=Stage.LIVE, percent=30)
    with shop.no_legacy():
        time.sleep(1)
    operator.advance(Endpoint.DETAIL, stage=Stage.LIVE)
    operator.advance_all(Stage.LIVE, but=Endpoint.DETAIL)
    operator.advance_all(Stage.RAMP_DOWN)
    operator.advance_all(Stage.COMPLETE)
    journey.shoppers.be_served()


def go_back(journey: Journey) -> None:
    """Go back stage by stage, to where both sides are written, legacy first."""
    operator, shop = journey.operator, journey.shop
    operator.rollback(Endpoint.UPSELL, stage=Stage.COMPLETE, percent=50)
    kill_web(journey, 1)
    for stage in (Stage.RAMP_DOWN, Stage.LIVE, Stage.SHADOW, Stage.DUAL_WRITE):
        operator.rollback_all(stage)
        journey.shoppers.be_served()
        if stage is Stage.LIVE:
            operator.rollback(Endpoint.UPSELL, stage=stage, percent=40)
            with shop.no_legacy():
                time.sleep(1)


def go_forward_through_everything(journey: Journey) -> None:
    """Go from `off` to `complete`, with every fault at every stage, in an order of its own."""
    operator, random = journey.operator, journey.random
    operator.advance_all(Stage.DUAL_WRITE)
    operator.backfill()
    for stage in (Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN, Stage.COMPLETE):
        ahead = random.choice(list(Endpoint))
        # Of fewer sessions the gates would not see enough to let more in.
        operator.advance(ahead, stage=stage, percent=random.choice([25, 40, 60]))
        suffer(journey)
        operator.advance(ahead, stage=stage)
        operator.advance_all(stage, but=ahead)
    suffer(journey)


def go_back_through_everything(journey: Journey) -> None:
    """Go back as one has come: every fault at every stage."""
    operator, random = journey.operator, journey.random
    for stage in (Stage.RAMP_DOWN, Stage.LIVE, Stage.SHADOW, Stage.DUAL_WRITE):
        behind = random.choice(list(Endpoint))
        operator.rollback(behind, stage=stage.after, percent=random.choice([1, 25, 60]))
        suffer(journey)
        operator.rollback_all(stage)
    suffer(journey)


def suffer(journey: Journey) -> None:
    """Let everything break once, for a second or two each; account for what differs then."""
    shop, operator, random = journey.shop, journey.operator, journey.random

    def kill_worker() -> None:
        if operator.is_marking():
            shop.kill_worker_repairing(random)
        else:
            shop.kill_worker()

    faults: list[Callable[[], object]] = [
        lambda: kill_web(journey, random.randrange(len(shop.sites))),
        kill_worker,
        shop.lose_redis,
        lambda: for_a_while(shop.no_legacy(), random),
        lambda: for_a_while(shop.no_unified(), random),
    ]
    random.shuffle(faults)
    for fault in faults:
        fault()
        time.sleep(1)
        assert marks_of_ours() == [] or not operator.is_before_live()
    if operator.is_legacy_first():
        operator.catch_up(shop.outages)
    elif operator.is_writing_both():
        wait_until_accounted()


def kill_web(journey: Journey, number: int) -> None:
    """Kill a web process between the two sides of its writes: what one of them lacks is marked."""
    journey.shop.kill_web(number)
    if journey.operator.is_writing_both():
        # Now, and not later: whoever was cut off asks again, and mends it so.
        assert unmarked_writes(journey.shop.outages) == []


def for_a_while(fault: AbstractContextManager[None], random: Random) -> None:
    with fault:
        time.sleep(random.uniform(0.5, 3))


def tell(journey: Journey, simulation: Simulation, *, seconds: float) -> None:
    """Print what was accounted for."""
    tally, operator = simulation.tally, journey.operator
    waited = {stage: round(each, 1) for stage, each in operator.waited.items()}
    print(
        f"{sum(tally.kinds.values())} shoppers, {len(simulation.ledger.sessions)} sessions, "
        f"{sum(tally.acts.values())} requests in {seconds:.0f} s: "
        f"{dict(sorted(tally.answers.items()))}; {operator.moves} moves, caught up "
        f"{operator.caught_up} times, kept waiting by {dict(operator.shut)}, in seconds {waited}; "
        f"befell: {dict(journey.shop.happened)}, worker ended by itself "
        f"{journey.shop.worker.ends} times; noted: {dict(tally.noted)}; "
        f"unexpected: {dict(tally.unexpected)} {tally.examples}"
    )


def test_a_live_shop_goes_all_the_way_and_back(shop: Shop) -> None:
    travel(shop, seed=1, there=go_forward, back=go_back)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 14))
def test_a_live_shop_comes_through_every_fault(shop: Shop, seed: int) -> None:
    travel(shop, seed=seed, there=go_forward_through_everything, back=go_back_through_everything)


def travel(
    shop: Shop, *, seed: int, there: Callable[[Journey], None], back: Callable[[Journey], None]
) -> None:
    """Go there and back with shoppers inside, and account for all that they were told."""
    began = time.monotonic()
    simulation = Simulation(
        [site.base for site in shop.sites],
        seed=seed,
        rate=6,
        old_sessions=living_sessions(),
        cookie_secret=SECRET,
        patience_seconds=15,  # longer than any fault; a charge in review outlasts all patience
        think_seconds=0.1,
    )
    shoppers, operator = Shoppers(simulation=simulation), Operator()
    journey = Journey(operator=operator, shop=shop, shoppers=shoppers, random=Random(seed))
    with simulation:
        try:
            with shoppers:
                there(journey)
                # Every copy but ours may be old by now; and some shoppers are still inside.
                assert simulation.check(settle_seconds=20) == []
                back(journey)
            wait_until_drained()
            assert disagreements() == []
            with shoppers:
                operator.rollback_all(Stage.OFF)
                shoppers.be_served()
            wait_until_drained()
            assert simulation.check(settle_seconds=10) == []
            assert money_problems() == []
            assert demotions() == []
            assert dict(simulation.tally.unexpected) == {}
            assert shop.happened["sessions it was to repair"] > 0
            assert simulation.tally.noted["finished"] > sum(simulation.tally.kinds.values()) / 2
        finally:
            tell(journey, simulation, seconds=time.monotonic() - began)
