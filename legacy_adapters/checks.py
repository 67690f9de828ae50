"""System checks: a legacy store that could never be read is said before the site starts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from legacy_adapters.base import LegacyAdapter
from legacy_adapters.conf import SourceConf, get_adapter, get_sources


@register("legacy_adapters")
def check_sources(**_: Any) -> list[CheckMessage]:
    """Validate ``LEGACY_ADAPTERS``."""
    try:
        sources = get_sources()
    except ImproperlyConfigured as exc:
        hint = "Give each entry ADAPTER, the dotted path of a LegacyAdapter."
        return [Error(str(exc), hint=hint, id="legacy_adapters.E001")]
    return [message for source in sources.values() for message in _check(source)]


def _check(source: SourceConf) -> list[CheckMessage]:
    where = f"LEGACY_ADAPTERS[{source.name!r}]"
    try:
        adapter = import_string(source.adapter)
    except ImportError as exc:
        text = f"{where} names {source.adapter!r}, which cannot be imported: {exc}"
        return [Error(text, hint="Give a dotted path.", id="legacy_adapters.E002")]
    if not (isinstance(adapter, type) and issubclass(adapter, LegacyAdapter)):
        text = f"{where} names {source.adapter!r}, which is no LegacyAdapter."
        return [Error(text, hint="Subclass LegacyAdapter.", id="legacy_adapters.E003")]
    try:
        get_adapter(source.name)
    except ImproperlyConfigured as exc:
        hint = f"See the arguments of {adapter.__name__} for the options it takes."
        return [Error(str(exc), hint=hint, id="legacy_adapters.E004")]
    return _check_alias(source)


def _check_alias(source: SourceConf) -> list[CheckMessage]:
    alias = source.options.get("alias")
    if alias is None or alias in settings.DATABASES:
        return []
    text = f"LEGACY_ADAPTERS[{source.name!r}] names the database {alias!r}, which DATABASES lacks."
    hint = f"Add {alias!r} to DATABASES, or name one that is there."
    return [Error(text, hint=hint, id="legacy_adapters.E005")]
