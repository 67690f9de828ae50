"""An operator moves a live shop there and back while things break: nothing acknowledged is lost."""

from __future__ import annotations

import os
import time
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from funnel.simulation import Simulation
from funnel.simulation.old_table import living_sessions
from legacy_adapters.migration.stages.names import Endpoint, Stage
from tests.fault_servers import own_valkey
from tests.legacy import other_database, paid_row, put, row
from tests.migrating import SECRET, migrating_shop, table
from tests.migration_rig import (
    MIGRATION,
    Operator,
    Shop,
    Shoppers,
    disagreements,
    money_problems,
    running_shop,
    wait_until_drained,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "legacy"])

OLD_SESSIONS = 40


@pytest.fixture(scope="module", autouse=True)
def elsewhere(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """Make the old shop a database of its own."""
    with django_db_blocker.unblock(), other_database("legacy") as name:
        yield name


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
        settings.MIGRATION = MIGRATION | {"STAGE_CACHE_SECONDS": 0}
        put(table().table, *old_rows())
        base = site_url(connection.settings_dict["NAME"])
        with running_shop(
            tmp_path, redis=redis, database_url=base, legacy_url=site_url(elsewhere)
        ) as opened:
            yield opened


def old_rows() -> list[dict[str, Any]]:
    """Return what the old shop has: every other one has paid."""
    makes = (row, paid_row)
    return [
        makes[number % 2](
            id=f"ws_mwo5wwds_old{number}",
            email=f"old{number}@example.org",
            transaction_id=f"30299{number}" if number % 2 else None,
        )
        for number in range(OLD_SESSIONS)
    ]


def site_url(database: str) -> str:
    """Return the URL of a database of the test's server."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(url._replace(path=f"/{database}"))


def go_forward(operator: Operator, shop: Shop) -> None:
    """Go from `off` to `complete`: faults on the way, a percentage widened in flight."""
    operator.advance_all(Stage.DUAL_WRITE)
    operator.backfill()
    operator.advance_all(Stage.SHADOW)
    shop.kill_web(0)
    operator.advance(Endpoint.DETAIL, stage=Stage.LIVE, percent=30)
    with shop.no_legacy():
        time.sleep(1)
    operator.advance(Endpoint.DETAIL, stage=Stage.LIVE)
    operator.advance_all(Stage.LIVE, but=Endpoint.DETAIL)
    shop.kill_worker()
    with shop.no_legacy():
        time.sleep(1)
    operator.advance_all(Stage.RAMP_DOWN)
    operator.advance_all(Stage.COMPLETE)
    time.sleep(1)


def go_forward_through_everything(operator: Operator, shop: Shop, random: Random) -> None:
    """Go from `off` to `complete`, with every fault at every stage, in an order of its own."""
    operator.advance_all(Stage.DUAL_WRITE)
    operator.backfill()
    for stage in (Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN, Stage.COMPLETE):
        suffer(shop, random)
        ahead = random.choice(list(Endpoint))
        operator.advance(ahead, stage=stage, percent=random.choice([1, 25, 60]))
        suffer(shop, random)
        operator.advance(ahead, stage=stage)
        operator.advance_all(stage, but=ahead)
    suffer(shop, random)


def suffer(shop: Shop, random: Random) -> None:
    """Let everything break once, for a second or two each."""
    faults: list[Callable[[], object]] = [
        lambda: shop.kill_web(random.randrange(len(shop.sites))),
        shop.kill_worker,
        shop.lose_redis,
        lambda: for_a_while(shop.no_legacy(), random),
        lambda: for_a_while(shop.no_unified(), random),
    ]
    random.shuffle(faults)
    for fault in faults:
        fault()
        time.sleep(1)


def for_a_while(fault: AbstractContextManager[None], random: Random) -> None:
    with fault:
        time.sleep(random.uniform(0.5, 3))


def go_back(operator: Operator, shop: Shop) -> None:
    """Go back to where both sides are written, legacy first."""
    operator.rollback(Endpoint.UPSELL, stage=Stage.LIVE, percent=50)
    shop.kill_web(1)
    operator.rollback_all(Stage.DUAL_WRITE)


def tell(operator: Operator, shop: Shop, simulation: Simulation, *, seconds: float) -> None:
    """Print what was accounted for."""
    tally = simulation.tally
    print(
        f"{sum(tally.kinds.values())} shoppers, {len(simulation.ledger.sessions)} sessions, "
        f"{sum(tally.acts.values())} requests in {seconds:.0f} s: "
        f"{dict(sorted(tally.answers.items()))}; {operator.moves} moves, gates shut "
        f"{dict(operator.shut)}; befell: {dict(shop.happened)}; "
        f"unexpected: {dict(tally.unexpected)}"
    )


def test_a_live_shop_goes_all_the_way_and_back(shop: Shop) -> None:
    travel(shop, seed=1, forward=go_forward)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 14))
def test_a_live_shop_comes_through_every_fault(shop: Shop, seed: int) -> None:
    travel(shop, seed=seed, forward=partial(go_forward_through_everything, random=Random(seed)))


def travel(shop: Shop, *, seed: int, forward: Callable[[Operator, Shop], None]) -> None:
    """Go there and back with shoppers inside, and account for all that they were told."""
    operator, began = Operator(), time.monotonic()
    simulation = Simulation(
        [site.base for site in shop.sites],
        seed=seed,
        rate=6,
        old_sessions=living_sessions(),
        cookie_secret=SECRET,
        think_seconds=0.1,
    )
    with simulation:
        with Shoppers(simulation=simulation):
            forward(operator, shop)
            go_back(operator, shop)
        wait_until_drained()

        assert disagreements(list(simulation.ledger.sessions)) == []
        assert money_problems() == []
        assert simulation.check(settle_seconds=10) == []
        operator.rollback_all(Stage.OFF)
        assert simulation.check(settle_seconds=10) == []
    tell(operator, shop, simulation, seconds=time.monotonic() - began)
