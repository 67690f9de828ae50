"""Runs the servers that the tests need, and sets the environment before settings are read.

A plugin named on pytest's command line (``addopts``), because pytest-django reads the settings
before it loads any conftest.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import redis

from funnel.local.exceptions import AlreadyRunningError, LocalError
from funnel.local.lock import locked
from funnel.local.paths import local_dir
from funnel.local.services import Services, running_services
from funnel.local.site_keys import new_site_keys

if TYPE_CHECKING:
    from pathlib import Path

RUNS_AT_A_TIME = 8
"""Test runs in one checkout, each with servers of its own."""


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the servers, unless a parent process of this run did."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    # However this run ends, pytest calls this.
    stack = ExitStack()
    early_config.add_cleanup(stack.close)
    # As Ctrl-C: fixtures and servers are stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _refuse_redis_in_use()
        data_dir = _own_directory(stack)
        services = stack.enter_context(running_services(data_dir, durable=False))
    except LocalError as exc:
        raise pytest.UsageError(str(exc)) from exc
    os.environ.update(_environment(services))


def _environment(services: Services) -> dict[str, str]:
    return new_site_keys(kid="test") | {
        "DATABASE_URL": services.database_url,
        "REDIS_URL": services.redis_url,
        "DEBUG": "0",
        "ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
        "SITE_URL": "http://testserver",
        "INSECURE_HTTP": "1",
        # A busy machine is not a broken Redis; tests of its time limits set their own.
        "REDIS_TIMEOUT_MS": "2000",
        "REDIS_BUDGET_MS": "10000",
        "DATABASE_POOL_SECONDS": "20",
        "WATCH_SECONDS": "0",  # a thread of its own would meet databases being dropped
        # What a shell exports for another shop is none of the tests' business.
        "LEGACY_DATABASE_URL": "",
        "SESSION_MANAGER": "",
    }


def _own_directory(stack: ExitStack) -> Path:
    for number in range(1, RUNS_AT_A_TIME):
        directory = local_dir() / ("test" if number == 1 else f"test-{number}")
        try:
            stack.enter_context(locked(directory))
        except AlreadyRunningError:
            continue
        return directory
    raise LocalError(f"{RUNS_AT_A_TIME - 1} test runs are under way in {local_dir()}.")


def _refuse_redis_in_use() -> None:
    # Tests flush it. A database with keys in it is probably somebody's.
    url = os.environ.get("REDIS_URL")
    if not url:
        return
    try:
        with redis.Redis.from_url(url) as client:
            is_in_use = bool(client.dbsize())
    except redis.RedisError as exc:
        raise LocalError(f"REDIS_URL can't be used: {exc}") from exc
    if is_in_use:
        raise LocalError(
            "REDIS_URL names a database with keys in it, and tests flush it. Name an empty one "
            "(redis://…/15), or unset REDIS_URL to let one be started."
        )
