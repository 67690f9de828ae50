"""The system checks, named by id."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from sessions_unified import checks
from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

GOOD_KEY = base64.urlsafe_b64encode(b"k" * 32).decode()


def ids(messages: list[CheckMessage]) -> list[str | None]:
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def found(**settings: Any) -> list[str | None]:
    good = {"TOKEN_KEYS": {"k": GOOD_KEY}, "ENCRYPTION_KEYS": {"e": GOOD_KEY}} | settings
    with override_settings(SESSIONS_UNIFIED=good):
        return ids(
            [
                *checks.check_settings(),
                *checks.check_token_keys(),
                *checks.check_encryption_keys(),
                *checks.check_production(),
            ]
        )


def test_good_settings_pass() -> None:
    assert found() == []


def test_e001_unknown_keys() -> None:
    with override_settings(SESSIONS_UNIFIED={"L1_TTL": 3}):
        assert ids(checks.check_settings()) == ["sessions_unified.E001"]
        with pytest.raises(ImproperlyConfigured, match="L1_TTL"):
            get_conf()


@pytest.mark.parametrize("name", ["MANAGER", "FLOW", "PRICER", "CLOCK"])
def test_e002_a_path_that_cannot_be_imported(name: str) -> None:
    with override_settings(SESSIONS_UNIFIED={name: "no.such.thing"}):
        assert ids(checks.check_settings()) == ["sessions_unified.E002"]


def test_e003_limits_that_are_not_positive() -> None:
    assert found(STALENESS_BOUND_SECONDS=0) == ["sessions_unified.E003"]


def test_e004_a_host_cookie_over_plain_http() -> None:
    assert "sessions_unified.E004" in found(COOKIE_SECURE=False)


@pytest.mark.parametrize("key", ["", "short", GOOD_KEY[:-2], "*" * 44])
def test_e005_a_bad_token_key(key: str) -> None:
    assert found(TOKEN_KEYS={"k": GOOD_KEY, "old": key}) == ["sessions_unified.E005"]


def test_e006_w001_no_token_key_anywhere_and_no_fallback() -> None:
    assert found(TOKEN_KEYS={}) == ["sessions_unified.W001", "sessions_unified.E006"]


@pytest.mark.parametrize(
    "keys",
    [
        {"k": GOOD_KEY, "old": "short"},
        {"k": ""},
        {"a:b": GOOD_KEY},
        {"": GOOD_KEY},
        {"k" * 33: GOOD_KEY},
        {"a,b": GOOD_KEY},
    ],
)
def test_e008_a_bad_encryption_key(keys: dict[str, str]) -> None:
    assert found(ENCRYPTION_KEYS=keys) == ["sessions_unified.E008"]


def test_w003_no_encryption_key_in_production() -> None:
    assert found(ENCRYPTION_KEYS={}) == ["sessions_unified.W003"]


def test_w002_a_plain_cookie() -> None:
    assert found(COOKIE_SECURE=False, COOKIE_NAME="plain") == ["sessions_unified.W002"]


def test_e007_another_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "connections", {"default": SimpleNamespace(vendor="sqlite")})

    assert ids(checks.check_database(databases=["default"])) == ["sessions_unified.E007"]
    assert checks.check_database(databases=["other"]) == []


def test_settings_are_read_live() -> None:
    with override_settings(SESSIONS_UNIFIED={"RETENTION_DAYS": 7}):
        assert get_conf().RETENTION_DAYS == 7
    assert get_conf().RETENTION_DAYS == 90
