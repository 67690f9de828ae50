"""What is said about a migration's settings before the site starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from legacy_adapters.checks import check_migrating, check_migration_values
from sessions_unified.checks import check_settings
from tests.migrating import MANAGER

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

MEMORY = {"ADAPTER": "legacy_adapters.testing.InMemoryAdapter"}
COOKIE = {"ADAPTER": "legacy_adapters.cookie.CookieAdapter", "SECRETS": ["s" * 32]}
MIDDLEWARE = "legacy_adapters.cookie.middleware.LegacyCookieMiddleware"
REPAIR = {"repair": {"task": "legacy_adapters.repair_marked", "schedule": 5.0}}


@pytest.fixture
def migrating(settings: SettingsWrapper) -> SettingsWrapper:
    """Let a sound site migrate."""
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"MANAGER": MANAGER}
    settings.LEGACY_ADAPTERS = {"database": MEMORY, "cookie": COOKIE}
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    settings.CELERY_BEAT_SCHEDULE = {**settings.CELERY_BEAT_SCHEDULE, **REPAIR}
    settings.MIGRATION = {}
    return settings


def ids() -> list[str | None]:
    return [message.id for message in (*check_migration_values(), *check_migrating())]


def test_a_sound_site_is_told_nothing(migrating: SettingsWrapper) -> None:
    assert ids() == []


def test_an_unknown_key(migrating: SettingsWrapper) -> None:
    migrating.MIGRATION = {"SHADOW_TREADS": 2}

    assert ids() == ["legacy_adapters.E006"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("SHADOW_SAMPLE", 1.1), ("PARITY_THRESHOLD", -0.1), ("SHADOW_THREADS", 0)),
        *(("STAGE_CACHE_SECONDS", -1), ("REPAIR_MAX_ATTEMPTS", "12"), ("CONFIDENCE", None)),
        *(("UNLISTED_LIFE_SECONDS", {"cookie": -1}), ("UNLISTED_LIFE_SECONDS", 30)),
        *(("MIN_COMPARISONS", True), ("PRIMARY", 7)),
    ],
)
def test_a_value_out_of_its_range(migrating: SettingsWrapper, name: str, value: Any) -> None:
    migrating.MIGRATION = {name: value}

    found = [message for message in check_migration_values() if name in message.msg]

    assert [message.id for message in found] == ["legacy_adapters.E007"]
    assert found[0].hint


@pytest.mark.parametrize(
    ("name", "value"),
    [("STAGE_CACHE_SECONDS", 0), ("SHADOW_SAMPLE", 0), ("CONFIDENCE", 1), ("PRIMARY", "database")],
)
def test_the_ends_of_the_ranges_are_fine(migrating: SettingsWrapper, name: str, value: Any) -> None:
    migrating.MIGRATION = {name: value}

    assert ids() == []


def test_a_life_of_a_store_that_is_not_there(migrating: SettingsWrapper) -> None:
    migrating.MIGRATION = {"UNLISTED_LIFE_SECONDS": {"cooky": 60}}

    assert ids() == ["legacy_adapters.W005"]


@pytest.mark.parametrize("primary", [None, "cookie", "elsewhere"])
def test_without_a_primary_store(migrating: SettingsWrapper, primary: str | None) -> None:
    migrating.LEGACY_ADAPTERS = {"cookie": COOKIE}
    migrating.MIGRATION = {"PRIMARY": primary}

    assert ids() == ["legacy_adapters.E008"]


def test_without_the_cookies_middleware(migrating: SettingsWrapper) -> None:
    migrating.MIDDLEWARE = [each for each in migrating.MIDDLEWARE if each != MIDDLEWARE]

    assert ids() == ["legacy_adapters.E009"]

    migrating.LEGACY_ADAPTERS = {"database": MEMORY}
    assert ids() == []


def test_without_the_repair(migrating: SettingsWrapper) -> None:
    migrating.CELERY_BEAT_SCHEDULE = {}

    assert ids() == ["legacy_adapters.W004"]


def test_a_site_that_does_not_migrate_needs_none_of_it(migrating: SettingsWrapper) -> None:
    plain = "sessions_unified.manager.UnifiedSessionManager"
    migrating.SESSIONS_UNIFIED = migrating.SESSIONS_UNIFIED | {"MANAGER": plain}
    migrating.LEGACY_ADAPTERS = {}
    migrating.CELERY_BEAT_SCHEDULE = {}

    assert check_migrating() == []


def test_a_path_whose_app_is_not_installed_is_named(migrating: SettingsWrapper) -> None:
    path = "tests.unit.legacy_adapters.migration.modelled.Manager"
    migrating.SESSIONS_UNIFIED = migrating.SESSIONS_UNIFIED | {"FLOW": path}

    (message,) = check_settings()

    assert message.id == "sessions_unified.E002"
    assert "isn't in an application in INSTALLED_APPS" in message.msg
