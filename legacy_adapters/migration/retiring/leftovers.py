"""What may be deleted after the last phase, as this site's settings have it, in a safe order."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from legacy_adapters.conf import get_adapter, get_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

_APP: Final = "legacy_adapters"
_VARIABLES: Final = ("LEGACY_", "MIGRATION_")
_OTHER_VARIABLES: Final = ("SESSION_MANAGER", "SYNCS_PER_MINUTE")


def steps() -> list[tuple[str, list[str]]]:
    """Return what to do, in its order: a step's title, and what it is about."""
    return [
        ("1. Take out of the settings, and restart every process:", list(_settings())),
        (
            "2. Drop the tables of the migration, while the app is still in INSTALLED_APPS:",
            [f"manage.py migrate {_APP} zero"],
        ),
        ("3. Delete, and restart every process:", list(_files())),
        ("4. No longer read from the environment:", list(_variables())),
    ]


def _settings() -> Iterator[str]:
    core: dict[str, Any] = getattr(settings, "SESSIONS_UNIFIED", {})
    for name, value in core.items():
        if _names_the_app(value):
            yield f'SESSIONS_UNIFIED["{name}"]'
    for path in settings.MIDDLEWARE:
        if _names_the_app(path):
            yield f"MIDDLEWARE: {path}"
    schedule: dict[str, Any] = getattr(settings, "CELERY_BEAT_SCHEDULE", {})
    for name, entry in schedule.items():
        if _names_the_app(entry.get("task")):
            yield f'CELERY_BEAT_SCHEDULE["{name}"]'


def _names_the_app(value: object) -> bool:
    if isinstance(value, str):
        return value.startswith(f"{_APP}.")
    return isinstance(value, list | tuple) and any(map(_names_the_app, value))


def _files() -> Iterator[str]:
    yield f"the folder {_APP}/, and the tests that import it"
    yield "funnel/legacy_settings.py, and the lines at the end of funnel/settings.py that use it"
    yield f"if the settings are your own: {_APP} in INSTALLED_APPS, LEGACY_ADAPTERS, MIGRATION"
    yield (
        f"{_APP} in pyproject.toml: packages of the wheel and of mypy, the sdist's include, "
        "coverage's source, import-linter's root_packages and contracts"
    )
    yield f"in compose.yaml: the line COPY {_APP} {_APP}"
    yield "tests/benchmarks/: migrating.py, importing.py, legacy.py; their names in catalogue.py"
    yield f"what reads {_APP}_…: alerts in deploy/prometheus/, panels in deploy/grafana/"
    for alias in sorted(_aliases()):
        yield f'DATABASES["{alias}"]'


def _aliases() -> set[str]:
    """Return the databases that only the old shop's stores are reached over."""
    core: dict[str, Any] = getattr(settings, "SESSIONS_UNIFIED", {})
    kept = {DEFAULT_DB_ALIAS, core.get("DATABASE_ALIAS", DEFAULT_DB_ALIAS)}
    aliases = {get_adapter(name).alias for name in get_sources()}
    return {alias for alias in aliases if alias is not None} - kept


def _variables() -> Iterator[str]:
    found = sorted(
        name for name in os.environ if name.startswith(_VARIABLES) or name in _OTHER_VARIABLES
    )
    yield from found or ["nothing that is set here: look where the other processes are started"]
    yield (
        "compose.yaml passes them on: its lines SESSION_MANAGER, SYNCS_PER_MINUTE, LEGACY_…, "
        "MIGRATION_…"
    )
