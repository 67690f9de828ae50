"""What the fault tests share: pairs of web processes behind proxies, and the end of every test.

The processes, and the Valkey behind them, live for all tests of a run; each test heals what it
broke, and then the tiers must agree (promise R25).
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

import pytest

from sessions_unified.clock import DatabaseClock
from sessions_unified.conf import get_conf
from sessions_unified.tiers import Tiers, build_tiers
from tests.fault_recovery import recover
from tests.fault_servers import OwnServer, own_valkey
from tests.fault_site import (
    PATIENT,
    PATIENT_WITH_REDIS,
    SHOP,
    SHORT,
    FaultSite,
    fault_site,
    merged,
    proxy_to,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from pytest_django.fixtures import SettingsWrapper

    from tests.fault_proxy import FaultProxy


class StartSite(Protocol):
    """Starts one more web process; ``settings`` change the short ones."""

    def __call__(
        self,
        settings: dict[str, Any] | None = None,
        *,
        redis_url: str | None = None,
        database_url: str | None = None,
        **env: str,
    ) -> FaultSite: ...


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """Return a Valkey that may be frozen, killed and flushed."""
    with own_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def database_url(django_db_setup: None) -> str:
    """Return the URL of the test's own database."""
    from django.db import connection

    url = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}"))


@contextmanager
def two_sites(records: Path, **how: Any) -> Iterator[tuple[FaultSite, FaultSite]]:
    # One host's wall clock is five minutes ahead, the other's behind: in every test (R22).
    with ExitStack() as stack:
        ahead, behind = (
            stack.enter_context(fault_site(records, FAULT_CLOCK_SECONDS=seconds, **how))
            for seconds in ("300", "-300")
        )
        yield ahead, behind


@pytest.fixture(scope="session")
def shared_sites(
    valkey: OwnServer, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FaultSite, FaultSite]]:
    with two_sites(
        tmp_path_factory.mktemp("sites"),
        redis_url=valkey.url,
        database_url=database_url,
        settings=SHORT,
        REDIS_TIMEOUT_MS="200",
        REDIS_BUDGET_MS="200",
    ) as started:
        yield started


@pytest.fixture(scope="session")
def shared_patient_sites(
    valkey: OwnServer, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FaultSite, FaultSite]]:
    with two_sites(
        tmp_path_factory.mktemp("patient"),
        redis_url=valkey.url,
        database_url=database_url,
        settings=merged(SHORT, PATIENT),
        **PATIENT_WITH_REDIS,
    ) as started:
        yield started


@pytest.fixture
def here(transactional_db: None, valkey: OwnServer, settings: SettingsWrapper) -> None:
    """Let this process use the Valkey of the sites, and be of their shop."""
    cache = settings.CACHES["default"]
    settings.CACHES = {"default": cache | {"LOCATION": valkey.url}}
    settings.SESSIONS_UNIFIED = (
        settings.SESSIONS_UNIFIED | SHORT["SESSIONS_UNIFIED"] | {"TOKEN_ISSUER": SHOP}
    )


@pytest.fixture
def pair(
    shared_sites: tuple[FaultSite, FaultSite], here: None
) -> Iterator[tuple[FaultSite, FaultSite]]:
    """Return two web processes of one shop, in a hurry; afterwards everything heals and agrees.

    The clock of the first one's host is five minutes ahead, that of the second's behind.
    """
    yield shared_sites
    for site in shared_sites:
        site.show_log()
    recover(*shared_sites)


@pytest.fixture
def patient_pair(
    shared_patient_sites: tuple[FaultSite, FaultSite], here: None
) -> Iterator[tuple[FaultSite, FaultSite]]:
    """Return a `pair` with all the time in the world, for what is about no budget."""
    yield shared_patient_sites
    for site in shared_patient_sites:
        site.show_log()
    recover(*shared_patient_sites)


@pytest.fixture
def site(pair: tuple[FaultSite, FaultSite]) -> FaultSite:
    """Return one of the two."""
    return pair[0]


@pytest.fixture
def patient_site(patient_pair: tuple[FaultSite, FaultSite]) -> FaultSite:
    """Return one of the patient two."""
    return patient_pair[0]


@pytest.fixture
def start_site(
    here: None, valkey: OwnServer, database_url: str, tmp_path: Path
) -> Iterator[StartSite]:
    """Return a function that starts web processes with settings of their own."""
    own_database_url = database_url
    with ExitStack() as stack:

        def start(
            settings: dict[str, Any] | None = None,
            *,
            redis_url: str | None = None,
            database_url: str | None = None,
            **env: str,
        ) -> FaultSite:
            return stack.enter_context(
                fault_site(
                    tmp_path,
                    redis_url=redis_url or valkey.url,
                    database_url=database_url or own_database_url,
                    settings=merged(SHORT, settings or {}),
                    **env,
                )
            )

        yield start


@pytest.fixture(scope="session")
def shared_unbroken_site(
    valkey: OwnServer, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultSite]:
    """Run a web process whose breaker never opens: what spares it is the budget alone.

    It has no L1 either, and notes every touch: a read asks Redis at least twice. Its budget is so
    long that a busy machine's noise is less.
    """
    changes = {
        "SESSIONS_UNIFIED": {
            "BREAKER_FAILURES": 1_000_000,
            "L1_ENABLED": False,
            "TOUCH_RESOLUTION_SECONDS": 0.001,
        }
    }
    with fault_site(
        tmp_path_factory.mktemp("unbroken"),
        redis_url=valkey.url,
        database_url=database_url,
        settings=merged(SHORT, changes),
        REDIS_TIMEOUT_MS="200",
        REDIS_BUDGET_MS="200",
    ) as started:
        yield started


@pytest.fixture
def unbroken_site(shared_unbroken_site: FaultSite, here: None) -> Iterator[FaultSite]:
    """Return `shared_unbroken_site`; afterwards it heals and agrees."""
    yield shared_unbroken_site
    shared_unbroken_site.show_log()
    recover(shared_unbroken_site)


@pytest.fixture
def redis_proxy(valkey: OwnServer, settings: SettingsWrapper, here: None) -> Iterator[FaultProxy]:
    """Return a proxy between this very process and the Valkey."""
    with proxy_to(valkey.url) as proxy:
        cache = settings.CACHES["default"]
        options = cache["OPTIONS"] | {"SOCKET_TIMEOUT": 0.05, "SOCKET_CONNECT_TIMEOUT": 0.05}
        location = {"LOCATION": proxy.url(valkey.url), "OPTIONS": options}
        settings.CACHES = {"default": cache | location}
        yield proxy


@pytest.fixture
def make_process(
    redis_proxy: FaultProxy, settings: SettingsWrapper
) -> Iterator[Callable[..., Tiers]]:
    """Return a function that builds tiers as one more process behind the proxy has them."""
    built: list[Tiers] = []

    def make(**changes: object) -> Tiers:
        settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"REDIS_BUDGET_MS": 50} | changes
        built.append(build_tiers(get_conf(), DatabaseClock()))
        return built[-1]

    yield make
    redis_proxy.pass_on()
    for tiers in built:
        if tiers.channel is not None:
            tiers.channel.stop()
