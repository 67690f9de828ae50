"""System checks: what would make sessions unsafe or slow, said before the site starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from sessions_unified.conf import get_conf
from sessions_unified.tokens import decode_key

if TYPE_CHECKING:
    from collections.abc import Sequence


_KID: Final = re.compile(r"[\w.-]{1,32}", re.ASCII)


@register("sessions_unified")
def check_settings(**_: Any) -> list[CheckMessage]:
    """Validate ``SESSIONS_UNIFIED``."""
    try:
        conf = get_conf()
    except ImproperlyConfigured as exc:
        hint = "See the settings in docs/reference/settings.md."
        return [Error(str(exc), hint=hint, id="sessions_unified.E001")]
    messages: list[CheckMessage] = []
    for name in ("MANAGER", "FLOW", "PRICER", "CLOCK"):
        path = getattr(conf, name)
        if path is not None:
            messages += _check_path(name, path)
    for name in ("STALENESS_BOUND_SECONDS", "ABSOLUTE_LIMIT_SECONDS", "RECEIPT_LIMIT_SECONDS"):
        if getattr(conf, name) <= 0:
            text = f"{name} is not a positive number."
            messages.append(
                Error(text, hint="Set it to seconds above 0.", id="sessions_unified.E003")
            )
    if conf.COOKIE_NAME.startswith("__Host-") and not conf.COOKIE_SECURE:
        messages.append(
            Error(
                "COOKIE_NAME begins with __Host- while COOKIE_SECURE is False: "
                "browsers will drop the cookie.",
                hint="Serve HTTPS and set COOKIE_SECURE, or choose a plain name for development.",
                id="sessions_unified.E004",
            )
        )
    return messages


def _check_path(name: str, path: str) -> list[CheckMessage]:
    try:
        import_string(path)
    except (ImportError, RuntimeError) as exc:  # a manager with models whose app is not installed
        text = f"{name} names {path!r}, which cannot be imported: {exc}"
        return [Error(text, hint="Give a dotted path.", id="sessions_unified.E002")]
    return []


@register("sessions_unified")
def check_token_keys(**_: Any) -> list[CheckMessage]:
    """Validate the keys that encrypt session tokens. There is no fallback key."""
    try:
        keys = get_conf().TOKEN_KEYS
    except ImproperlyConfigured:
        return []
    how = (
        "Make one with: python -c 'import base64, secrets; "
        "print(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())'"
    )
    if not keys:
        return [
            CheckWarning(
                "TOKEN_KEYS is empty: the API and the storefront cannot issue session tokens.",
                hint=how,
                id="sessions_unified.W001",
            )
        ]
    bad = [kid for kid, key in keys.items() if not _is_key(key)]
    if bad:
        text = f"TOKEN_KEYS {', '.join(bad)}: not base64url of 32 bytes."
        return [Error(text, hint=how, id="sessions_unified.E005")]
    return []


@register("sessions_unified")
def check_encryption_keys(**_: Any) -> list[CheckMessage]:
    """Validate the keys of what is encrypted at rest; none is well, and `check_production` says."""
    try:
        keys = get_conf().ENCRYPTION_KEYS
    except ImproperlyConfigured:
        return []
    bad = [kid for kid, key in keys.items() if not (_KID.fullmatch(kid) and _is_key(key))]
    if not bad:
        return []
    text = f"ENCRYPTION_KEYS {', '.join(map(repr, bad))}: not base64url of 32 bytes, or a bad kid."
    hint = (
        "A kid is up to 32 letters, digits, dots, dashes and underscores; a key is as TOKEN_KEYS'."
    )
    return [Error(text, hint=hint, id="sessions_unified.E008")]


def _is_key(text: str) -> bool:
    try:
        decode_key(text)
    except ValueError:
        return False
    return True


@register(Tags.security, deploy=True)
def check_production(**_: Any) -> list[CheckMessage]:
    """Find what is fine on a laptop and not in production."""
    conf = get_conf()
    messages: list[CheckMessage] = []
    if not conf.TOKEN_KEYS:
        messages.append(
            Error(
                "TOKEN_KEYS is empty.",
                hint="Give at least one key; the first issues, all of them open.",
                id="sessions_unified.E006",
            )
        )
    if not conf.ENCRYPTION_KEYS:
        messages.append(
            CheckWarning(
                "ENCRYPTION_KEYS is empty: vault ids are encrypted under keys made of SECRET_KEY, "
                "and changing that one loses the stored cards.",
                hint="Give a key, then run manage.py reseal: see docs/howto/rotate-keys.md.",
                id="sessions_unified.W003",
            )
        )
    if not conf.COOKIE_SECURE:
        messages.append(
            CheckWarning(
                "The session cookie is sent over plain HTTP.",
                hint="Set COOKIE_SECURE and a __Host- COOKIE_NAME.",
                id="sessions_unified.W002",
            )
        )
    return messages


@register(Tags.database)
def check_database(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Require PostgreSQL: row locks, xid8 and SKIP LOCKED have no twin elsewhere."""
    alias = get_conf().DATABASE_ALIAS
    if alias not in (databases or []):
        return []
    if connections[alias].vendor != "postgresql":
        return [
            Error(
                f"The database {alias!r} is not PostgreSQL.",
                hint="sessions_unified needs PostgreSQL 14 or newer.",
                id="sessions_unified.E007",
            )
        ]
    return []
