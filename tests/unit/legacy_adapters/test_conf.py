"""The setting LEGACY_ADAPTERS, and what is said about a wrong one before the site starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from legacy_adapters.checks import check_sources
from legacy_adapters.conf import get_adapter, get_sources
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.exceptions import UnknownSourceError
from legacy_adapters.testing import InMemoryAdapter

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

DATABASE = {
    "ADAPTER": "legacy_adapters.database.DatabaseAdapter",
    "ALIAS": "default",
    "TABLE": "old.sessions",
}


def messages(settings: SettingsWrapper, entry: dict[str, Any]) -> list[str | None]:
    settings.LEGACY_ADAPTERS = {"database": entry}
    return [message.id for message in check_sources()]


def test_an_adapter_gets_its_options_by_name(settings: SettingsWrapper) -> None:
    settings.LEGACY_ADAPTERS = {"database": DATABASE}

    adapter = get_adapter("database")

    assert isinstance(adapter, DatabaseAdapter)
    assert adapter.source == "database"
    assert (adapter.table.alias, adapter.table.name) == ("default", "old.sessions")


def test_adapters_can_be_of_any_class(settings: SettingsWrapper) -> None:
    settings.LEGACY_ADAPTERS = {"mine": {"ADAPTER": "legacy_adapters.testing.InMemoryAdapter"}}

    assert isinstance(get_adapter("mine"), InMemoryAdapter)


def test_an_unknown_source_is_refused_with_the_known_ones(settings: SettingsWrapper) -> None:
    settings.LEGACY_ADAPTERS = {"database": DATABASE}

    with pytest.raises(UnknownSourceError, match=r"'cookie'; LEGACY_ADAPTERS has: database\."):
        get_adapter("cookie")


def test_without_the_setting_there_is_no_source(settings: SettingsWrapper) -> None:
    del settings.LEGACY_ADAPTERS

    assert get_sources() == {}
    assert check_sources() == []


def test_a_good_entry_has_no_messages(settings: SettingsWrapper) -> None:
    assert messages(settings, DATABASE) == []


def test_e001_an_entry_without_adapter(settings: SettingsWrapper) -> None:
    assert messages(settings, {"ALIAS": "default"}) == ["legacy_adapters.E001"]


def test_e002_a_path_that_cannot_be_imported(settings: SettingsWrapper) -> None:
    entry = DATABASE | {"ADAPTER": "legacy_adapters.nowhere.Adapter"}

    assert messages(settings, entry) == ["legacy_adapters.E002"]


@pytest.mark.parametrize("path", ["pathlib.Path", "legacy_adapters.conf.get_sources"])
def test_e003_a_path_of_something_else(settings: SettingsWrapper, path: str) -> None:
    assert messages(settings, {"ADAPTER": path}) == ["legacy_adapters.E003"]


def test_e004_options_that_the_adapter_does_not_take(settings: SettingsWrapper) -> None:
    assert messages(settings, DATABASE | {"TABEL": "x"}) == ["legacy_adapters.E004"]
    with pytest.raises(ImproperlyConfigured, match="tabel"):
        get_adapter("database")


def test_e005_a_database_that_is_not_configured(settings: SettingsWrapper) -> None:
    assert messages(settings, DATABASE | {"ALIAS": "old"}) == ["legacy_adapters.E005"]
