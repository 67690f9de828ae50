"""System checks: a legacy store that could never be read is said before the site starts."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from legacy_adapters.base import LegacyAdapter
from legacy_adapters.conf import SourceConf, get_adapter, get_sources
from legacy_adapters.cookie import CookieAdapter
from legacy_adapters.cookie.tokens import fingerprint
from legacy_adapters.migration.checks import check_migrating, check_migration_values

__all__ = [
    "check_cookie_has_secret",
    "check_cookie_secrets",
    "check_migrating",
    "check_migration_values",
    "check_sources",
]

_HS256_BYTES: Final = 32
"""RFC 7518, section 3.2: a key is no shorter than the hash."""


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


@register("legacy_adapters")
def check_cookie_secrets(**_: Any) -> list[CheckMessage]:
    """Warn of secrets of the old cookie that open nothing, or that can be guessed."""
    return [message for adapter in _cookie_adapters() for message in _check_secrets(adapter)]


@register(Tags.security, deploy=True)
def check_cookie_has_secret(**_: Any) -> list[CheckMessage]:
    """Warn of an old cookie that nothing opens."""
    return [
        CheckWarning(
            f"LEGACY_ADAPTERS[{adapter.source!r}] has no secret that opens the old shop's cookie.",
            hint="Set LEGACY_COOKIE_SECRETS, or take the entry out if the shop has no such cookie.",
            id="legacy_adapters.W001",
        )
        for adapter in _cookie_adapters()
        if not adapter.cookie.secrets.usable
    ]


def _cookie_adapters() -> list[CookieAdapter]:
    """Return the adapters of cookies, where the settings are sound enough to have any."""
    try:
        sound = [name for name, source in get_sources().items() if not _check(source)]
    except ImproperlyConfigured:
        return []
    adapters = [get_adapter(name) for name in sound]
    return [adapter for adapter in adapters if isinstance(adapter, CookieAdapter)]


def _check_secrets(adapter: CookieAdapter) -> list[CheckMessage]:
    where = f"LEGACY_ADAPTERS[{adapter.source!r}]"
    secrets = adapter.cookie.secrets
    weak = [
        CheckWarning(
            f"{where}: the secret {fingerprint(secret)} is shorter than {_HS256_BYTES} bytes.",
            hint="Sign with a longer one first, and drop this one when its cookies have ended.",
            id="legacy_adapters.W002",
        )
        for secret in secrets.usable
        if len(secret.encode()) < _HS256_BYTES
    ]
    listed_twice = [
        CheckWarning(
            f"{where}: the secret {fingerprint(secret)} is listed as compromised too: "
            "what it signed is refused.",
            hint="Take it out of LEGACY_COOKIE_SECRETS.",
            id="legacy_adapters.W003",
        )
        for secret in secrets.trusted
        if secret in secrets.compromised
    ]
    return [*weak, *listed_twice]
