"""System checks of a migration: what would leave sessions unwritten or unrepaired, said before."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from legacy_adapters.conf import get_adapter, get_sources
from legacy_adapters.exceptions import UnknownSourceError
from legacy_adapters.migration.conf import Conf, get_conf
from legacy_adapters.migration.use import is_migrating

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIDDLEWARE: Final = "legacy_adapters.cookie.middleware.LegacyCookieMiddleware"
_REPAIR: Final = "legacy_adapters.repair_marked"

_PARTS: Final = {"SHADOW_SAMPLE", "PARITY_THRESHOLD", "CONFIDENCE", "DEMOTE_ERROR_RATE"}
"""Numbers from 0 to 1."""

_MAY_BE_ZERO: Final = {
    *("STAGE_CACHE_SECONDS", "RECHECK_SECONDS", "REPAIR_DELAY_SECONDS", "MIN_COMPARISONS"),
    *("DEMOTE_LATENCY_RATIO", "DEMOTE_LATENCY_MIN_MS", "DEMOTE_AFTER_ERRORS"),
}


@register("legacy_adapters")
def check_migration_values(**_: Any) -> list[CheckMessage]:
    """Validate ``MIGRATION``."""
    try:
        conf = get_conf()
    except (ImproperlyConfigured, TypeError) as exc:
        hint = "See MIGRATION in docs/reference/settings.md."
        return [Error(str(exc), hint=hint, id="legacy_adapters.E006")]
    wrong = [each for spec in fields(Conf) for each in _wrong(spec.name, getattr(conf, spec.name))]
    messages: list[CheckMessage] = [
        Error(
            f"MIGRATION[{name!r}] is {value!r}, and has to be {wanted}.",
            hint=f"Correct it, or leave it out: {default!r} holds then.",
            id="legacy_adapters.E007",
        )
        for name, value, wanted, default in wrong
    ]
    strangers = sorted(set(_lives(conf)) - set(_source_names()) - set(_lives(Conf())))
    if strangers:
        messages.append(
            CheckWarning(
                f"MIGRATION['UNLISTED_LIFE_SECONDS'] names {', '.join(strangers)}, which "
                "LEGACY_ADAPTERS lacks.",
                hint="Name the entries of LEGACY_ADAPTERS; one that is not named counts as a day.",
                id="legacy_adapters.W005",
            )
        )
    return messages


def _lives(conf: Conf) -> dict[str, Any]:
    lives: object = conf.UNLISTED_LIFE_SECONDS
    return lives if isinstance(lives, dict) else {}


def _wrong(name: str, value: Any) -> Iterator[tuple[str, Any, str, Any]]:
    """Yield what is wrong with one value: its name, itself, what it has to be, the default."""
    wanted = _wanted(name, value)
    if wanted is not None:
        yield name, value, wanted, getattr(Conf(), name)


def _wanted(name: str, value: Any) -> str | None:
    """Return what a value has to be; None: it is fine."""
    if name == "PRIMARY":
        return None if value is None or isinstance(value, str) else "a key of LEGACY_ADAPTERS"
    if name == "UNLISTED_LIFE_SECONDS":
        is_fine = isinstance(value, dict) and all(_is_number(each) for each in value.values())
        return None if is_fine and min(value.values(), default=0) >= 0 else "name → seconds"
    if not _is_number(value):
        return "a number"
    if name in _PARTS:
        return None if 0 <= value <= 1 else "a part, from 0 to 1"
    if name in _MAY_BE_ZERO:
        return None if value >= 0 else "0 or more"
    return None if value > 0 else "more than 0"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _source_names() -> list[str]:
    """Return the names of the legacy stores; none while their settings make no sense."""
    try:
        return list(get_sources())
    except ImproperlyConfigured:
        return []


@register("legacy_adapters")
def check_migrating(**_: Any) -> list[CheckMessage]:
    """Look whether the migrating manager has what it writes to, and what repairs after it."""
    try:
        get_conf()
        if not is_migrating():
            return []
    except (ImproperlyConfigured, TypeError):  # said by E006, or by the core's own
        return []
    return [*_check_primary(), *_check_middleware(), *_check_repair()]


def _check_primary() -> Iterator[CheckMessage]:
    from legacy_adapters.migration.sides.primary import primary_name  # noqa: PLC0415  models

    try:
        name = primary_name()
        adapter = get_adapter(name)
    except (ImproperlyConfigured, UnknownSourceError) as exc:
        hint = "Let LEGACY_ADAPTERS have it, and MIGRATION['PRIMARY'] name it."
        yield Error(str(exc), hint=hint, id="legacy_adapters.E008")
        return
    lacks = [
        what
        for what, is_missing in (
            ("cannot be written", not adapter.supports_write),
            ("cannot be listed", not adapter.supports_scan),
            ("lives in a browser", adapter.needs_request),
        )
        if is_missing
    ]
    if lacks:
        yield Error(
            f"The primary store {name!r} {' and '.join(lacks)}.",
            hint="Name one that holds sessions as a whole in MIGRATION['PRIMARY'].",
            id="legacy_adapters.E008",
        )


def _check_middleware() -> Iterator[CheckMessage]:
    from legacy_adapters.cookie import CookieAdapter  # noqa: PLC0415  (nothing to look at before)

    names = [name for name in _source_names() if _is_a(name, CookieAdapter)]
    if names and not any(_is_middleware(path) for path in settings.MIDDLEWARE):
        yield Error(
            f"LEGACY_ADAPTERS[{names[0]!r}] is a cookie, and nothing reads or sends it: "
            f"{_MIDDLEWARE.rpartition('.')[2]} is not in MIDDLEWARE.",
            hint=f"Add {_MIDDLEWARE!r} as the last, or take the cookie out of LEGACY_ADAPTERS.",
            id="legacy_adapters.E009",
        )


def _is_a(name: str, kind: type) -> bool:
    try:
        return isinstance(get_adapter(name), kind)
    except ImproperlyConfigured:  # E002 to E004 say so
        return False


def _is_middleware(path: str) -> bool:
    if path == _MIDDLEWARE:
        return True
    try:
        found = import_string(path)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, import_string(_MIDDLEWARE))


def _check_repair() -> Iterator[CheckMessage]:
    schedule: dict[str, Any] = getattr(settings, "CELERY_BEAT_SCHEDULE", {})
    if not any(entry.get("task") == _REPAIR for entry in schedule.values()):
        yield CheckWarning(
            f"Nothing runs {_REPAIR}: a session whose second side failed waits for its next "
            "visit, and the gates stay shut meanwhile.",
            hint="Add it to CELERY_BEAT_SCHEDULE, every 5 seconds.",
            id="legacy_adapters.W004",
        )
