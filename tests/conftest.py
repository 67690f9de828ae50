"""What all tests share: test profiles, a clean Redis, real web processes, a real browser.

The servers themselves are started by ``funnel.local.pytest_plugin``, before settings are read.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pytest
import redis

from funnel.local import programs
from funnel.local.child import Child
from funnel.local.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

SCREENSHOTS = Path(__file__).resolve().parents[1] / "build/screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_ARGS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
BROWSER_FIXTURES = {"page", "context", "browser", "new_context"}
WEB_START_SECONDS = 120

# `make test` runs the same examples every time; `make soak` looks for new ones.
hypothesis.settings.register_profile(
    "test",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "soak",
    deadline=None,
    max_examples=2_000,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("test")


class StartWebServer(Protocol):
    """Starts a web server of the site and returns its base URL, without a final slash."""

    def __call__(self, *, processes: int = 1, threads: int = 4, **env: str) -> str:
        """Start one more; ``env`` is added to its environment."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what drives a browser, and run it last.

    Playwright leaves an event loop running in this thread; nothing else should meet it.
    """
    for item in items:
        if BROWSER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("browser")
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def pytest_sessionfinish() -> None:
    """Stop what listens to the servers, before they are stopped."""
    from sessions_unified.tiers import reset_tiers

    reset_tiers()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without a browser: skip by name for a newcomer, fail in CI."""
    if item.get_closest_marker("browser") is None:
        return
    if find_browser() is None:
        reason = "no Chromium found: install the package chromium (or google-chrome)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    # Playwright's loop (see above) makes Django believe that the test is async code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


def find_browser() -> str | None:
    """Return the path of the system's Chromium."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Launch the system's Chromium, without calls home."""
    # Chromium's sandbox refuses to run as root, which is what containers are.
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {
        **browser_type_launch_args,
        "executable_path": find_browser(),
        "args": [*BROWSER_ARGS, *as_root],
    }


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], None]:
    """Return a function that keeps the page as ``build/screenshots/<name>.png``."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def take(name: str) -> None:
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return take


@pytest.fixture(scope="module")
def elsewhere(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """Make the old shop a database of its own, ``legacy``, for a module's tests; return its name.

    They are marked with ``databases=["default", "legacy"]``.
    """
    # By name: a site without the old shop's app keeps this file, and not that module.
    legacy = import_module("tests.legacy")
    with django_db_blocker.unblock(), legacy.other_database("legacy") as name:
        yield name


@pytest.fixture
def server_dir() -> Iterator[Path]:
    """Return a directory for servers that a test starts.

    Not ``tmp_path``: every start of pytest closes its parent to other accounts, and as root
    PostgreSQL runs under one; a second run at the same time would shut it out.
    """
    with tempfile.TemporaryDirectory(prefix="funnel tests ") as directory:
        yield Path(directory)


@pytest.fixture
def redis_client() -> Iterator[redis.Redis]:
    """Return a client of the test's Redis, which answers bytes."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client


@pytest.fixture
def redis_flush(redis_client: redis.Redis) -> Iterator[None]:
    """Empty the test's Redis, before and after."""
    redis_client.flushdb()
    yield
    redis_client.flushdb()


@pytest.fixture
def site_env(django_db_setup: None) -> dict[str, str]:
    """Return the environment for a process of the site on the test's own database."""
    from django.db import connection

    database = urlsplit(os.environ["DATABASE_URL"])
    name = connection.settings_dict["NAME"]
    return {**os.environ, "DATABASE_URL": urlunsplit(database._replace(path=f"/{name}"))}


@pytest.fixture
def web_server(
    transactional_db: None, site_env: dict[str, str], tmp_path: Path
) -> Iterator[StartWebServer]:
    """Return a function that starts real web servers; they are stopped after the test."""
    with ExitStack() as stack:

        def start(*, processes: int = 1, threads: int = 4, **env: str) -> str:
            port = free_port()
            url = f"http://{LOOPBACK}:{port}"
            child = Child(
                name=f"web-{port}",
                argv=programs.web(port=port, processes=processes, threads=threads),
                records=tmp_path,
                env={**site_env, "SITE_URL": url, **env},
            )
            stack.enter_context(_running(child, url, log=tmp_path / f"web-{port}.log"))
            return url

        yield start


@contextmanager
def _running(child: Child, url: str, *, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        child.start(output=output)
    try:
        _wait_for(child, url)
        yield
    finally:
        child.stop()
        # Pytest shows it where the test failed.
        print(f"--- {child.name}\n{log.read_text(errors='replace')}")


def _wait_for(child: Child, url: str) -> None:
    deadline = time.monotonic() + WEB_START_SECONDS
    while time.monotonic() < deadline and child.is_running:
        try:
            urllib.request.urlopen(f"{url}/livez", timeout=5).close()
        except urllib.error.HTTPError as exc:
            exc.close()  # whatever it answers, it serves
        except OSError:
            time.sleep(0.1)
            continue
        return
    pytest.fail(f"{child.name} did not answer at {url}")
