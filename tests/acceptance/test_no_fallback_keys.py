"""Without its keys the site does not start; nothing secret has a default."""

from __future__ import annotations

import subprocess
import sys

import pytest


def start(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Load the WSGI application, as a web server does."""
    return subprocess.run(
        [sys.executable, "-c", "import funnel.wsgi"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_starts_with_its_keys(site_env: dict[str, str]) -> None:
    result = start(site_env)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "SESSION_TOKEN_KEYS", "DATABASE_URL", "REDIS_URL"])
def test_it_does_not_start_without(site_env: dict[str, str], name: str) -> None:
    del site_env[name]

    result = start(site_env)

    assert result.returncode != 0
    assert name in result.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "SESSION_TOKEN_KEYS"])
def test_it_does_not_start_with_an_empty(site_env: dict[str, str], name: str) -> None:
    site_env[name] = ""

    result = start(site_env)

    assert result.returncode != 0
    assert name in result.stderr


@pytest.mark.parametrize("keys", ["k:short", "k:", "no-colon"])
def test_it_does_not_start_with_bad_token_keys(site_env: dict[str, str], keys: str) -> None:
    site_env["SESSION_TOKEN_KEYS"] = keys

    result = start(site_env)

    assert result.returncode != 0
    assert "TOKEN_KEYS" in result.stderr
