"""The adapters' settings: one typed view of ``settings.LEGACY_ADAPTERS``, read live."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from legacy_adapters.exceptions import UnknownSourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest

    from legacy_adapters.base import LegacyAdapter
    from legacy_adapters.stores import Store

_ADAPTER: Final = "ADAPTER"


@dataclass(frozen=True, kw_only=True)
class SourceConf:
    """One entry of ``LEGACY_ADAPTERS``.

    Attributes:
        name: its key: what commands call ``--source``.
        adapter: dotted path of the `LegacyAdapter` class (the key ``ADAPTER``).
        options: the other keys, in lower case: the class's keyword arguments.

    """

    name: str
    adapter: str
    options: Mapping[str, Any] = field(default_factory=dict)


def get_sources() -> dict[str, SourceConf]:
    """Return the legacy stores by name.

    Raises:
        ImproperlyConfigured: an entry names no adapter.

    """
    given: Mapping[str, Mapping[str, Any]] = getattr(settings, "LEGACY_ADAPTERS", {})
    return {name: _source(name, entry) for name, entry in given.items()}


def _source(name: str, entry: Mapping[str, Any]) -> SourceConf:
    if _ADAPTER not in entry:
        raise ImproperlyConfigured(f"LEGACY_ADAPTERS[{name!r}] has no {_ADAPTER}.")
    options = {key.lower(): value for key, value in entry.items() if key != _ADAPTER}
    return SourceConf(name=name, adapter=entry[_ADAPTER], options=options)


def get_source(name: str) -> SourceConf:
    """Return the entry of one legacy store.

    Raises:
        UnknownSourceError: the settings name no such store.

    """
    sources = get_sources()
    if name not in sources:
        known = ", ".join(sorted(sources)) or "none"
        raise UnknownSourceError(
            f"There is no legacy store {name!r}; LEGACY_ADAPTERS has: {known}."
        )
    return sources[name]


def get_store(name: str) -> Store | None:
    """Return which kind of store a source is; None for one that the settings no longer name."""
    source = get_sources().get(name)
    if source is None:
        return None
    adapter: type[LegacyAdapter] = import_string(source.adapter)
    return adapter.store


def get_adapter(name: str, request: HttpRequest | None = None) -> LegacyAdapter:
    """Return the adapter of one legacy store; ``request`` is what browsers' stores are read from.

    Raises:
        UnknownSourceError: the settings name no such store.
        ImproperlyConfigured: its class cannot be imported, or does not take its options.

    """
    source = get_source(name)
    try:
        adapter: type[LegacyAdapter] = import_string(source.adapter)
        return adapter(source=name, request=request, **source.options)
    except (ImportError, TypeError) as exc:
        raise ImproperlyConfigured(f"LEGACY_ADAPTERS[{name!r}]: {exc}") from exc


def get_adapters(request: HttpRequest | None = None) -> list[LegacyAdapter]:
    """Return the adapters of all legacy stores that can be read here, the most trusted first.

    Without a request those of browsers are left out.
    """
    adapters = [get_adapter(name, request) for name in get_sources()]
    readable = [each for each in adapters if request is not None or not each.needs_request]
    return sorted(readable, key=lambda adapter: adapter.store.rank)
