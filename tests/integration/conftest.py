"""What the integration tests share."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from sessions_unified.clock import DatabaseClock
from sessions_unified.conf import Conf, get_conf
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.testing import FrozenClock
from sessions_unified.tiers import Tiers, build_tiers
from tests.fault_site import proxy_to
from tests.gateways import ScriptedGateway, taking
from tests.managing import warm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from tests.fault_proxy import FaultProxy
    from tests.managing import MakeTiers


@pytest.fixture
def gateway(settings: SettingsWrapper) -> Iterator[type[ScriptedGateway]]:
    """Take the money by the scripted gateway."""
    yield from taking(ScriptedGateway, settings)


@pytest.fixture
def make_tiers(transactional_db: None, redis_flush: None) -> Iterator[MakeTiers]:
    """Return a function that builds tiers as a process has them; their channels are stopped."""
    built: list[Tiers] = []

    def make(*, clock: FrozenClock | None = None, **changes: object) -> Tiers:
        conf = get_conf()
        values = {name: getattr(conf, name) for name in Conf.__dataclass_fields__}
        values |= {"HEARTBEAT_SECONDS": 0.1, "HEARTBEAT_TIMEOUT_SECONDS": 2.0} | changes
        tiers = build_tiers(Conf(**values), clock or DatabaseClock())
        built.append(tiers)
        return tiers

    yield make
    for tiers in built:
        tiers.stop()


@pytest.fixture
def clock() -> FrozenClock:
    """Return a clock for `make_tiers` that stands still."""
    return FrozenClock()


@pytest.fixture
def time_for_redis(settings: SettingsWrapper) -> None:
    """On a busy machine a shopper's budget may be spent, and nothing would be cached."""
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"REDIS_BUDGET_MS": 5000}


@pytest.fixture
def redis_proxy(settings: SettingsWrapper) -> Iterator[FaultProxy]:
    """Put a proxy between this process and Redis, before any tiers are made."""
    url = os.environ["REDIS_URL"]
    with proxy_to(url) as proxy:
        cache = settings.CACHES["default"] | {"LOCATION": proxy.url(url)}
        settings.CACHES = settings.CACHES | {"default": cache}
        yield proxy


@pytest.fixture
def manager(make_tiers: MakeTiers) -> UnifiedSessionManager:
    """Return a manager over tiers whose L1 is alive."""
    return warm(UnifiedSessionManager(tiers=make_tiers()))


@pytest.fixture
def shop_elsewhere(elsewhere: str, db: None, settings: SettingsWrapper) -> Iterator[None]:
    """Have the site follow the stages, with the old shop's table in another database."""
    migrating = import_module("tests.migrating")  # by name: as `elsewhere`
    with migrating.migrating_shop(settings, alias="legacy"):
        yield
