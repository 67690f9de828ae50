"""Encryption at rest for the few values that open a card: ``ENCRYPTION_KEYS``, rotating.

A sealed value is ``sealed:<kid>:<base64url of nonce and ciphertext>`` (AES-256-GCM). Of `COLUMNS`
snapshots hold the plain values; the row and the copy in Redis hold them sealed. A value without the
prefix is taken as it is: rows that other software wrote, until ``manage.py reseal`` was over them.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from functools import cache
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import models
from django.db.models.query_utils import DeferredAttribute

from sessions_unified.conf import get_conf
from sessions_unified.exceptions import SealedValueError
from sessions_unified.tokens import decode_key

PREFIX: Final = "sealed:"
COLUMNS: Final = ("vault_id", "payment_token")
"""What of a session is sealed."""
_NONCE_BYTES: Final = 12  # what GCM takes as it is, NIST SP 800-38D section 8.2
_CONTEXT: Final = b"sessions_unified.sealing"


def seal(text: str) -> str:
    """Return ``text`` encrypted under the first key."""
    kid, key = next(iter(_keys().items()))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = nonce + key.encrypt(nonce, text.encode(), _CONTEXT)
    return f"{PREFIX}{kid}:{base64.urlsafe_b64encode(sealed).decode()}"


def unseal(text: str) -> str:
    """Return what was sealed; text that is not sealed as it is.

    Raises:
        SealedValueError: its key is missing, or it was tampered with.

    """
    if not text.startswith(PREFIX):
        return text
    kid, _, body = text[len(PREFIX) :].partition(":")
    key = _keys().get(kid)
    if key is None:
        raise SealedValueError
    try:
        raw = base64.urlsafe_b64decode(body)
        return key.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _CONTEXT).decode()
    except (InvalidTag, ValueError) as exc:
        raise SealedValueError from exc


def is_current(text: str) -> bool:
    """Tell whether ``text`` is sealed under the first key."""
    return text.startswith(f"{PREFIX}{next(iter(_keys()))}:")


def kid_of(text: str) -> str | None:
    """Return the name of the key that sealed ``text``; None for text that is not sealed."""
    return text[len(PREFIX) :].partition(":")[0] if text.startswith(PREFIX) else None


@cache
def _keys() -> dict[str, AESGCM]:
    """Return kid → key; made from Django's ``SECRET_KEY`` and its fallbacks where none is set."""
    given = get_conf().ENCRYPTION_KEYS or derived_keys()
    try:
        return {kid: AESGCM(decode_key(text)) for kid, text in given.items()}
    except ValueError as exc:
        message = f"ENCRYPTION_KEYS: {exc}."
        raise ImproperlyConfigured(message) from exc


def derived_keys() -> dict[str, str]:
    """Return the keys that Django's secret and its fallbacks make, as ``ENCRYPTION_KEYS`` has them.

    To move away from them: put them behind a key of its own, reseal, and take them out.
    """
    keys = {}
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        digest = hashlib.sha256(_CONTEXT + b"\0" + str(secret).encode()).digest()
        kid = f"django-{hashlib.sha256(digest).hexdigest()[:8]}"
        keys[kid] = base64.urlsafe_b64encode(digest).decode()
    return keys


def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"SESSIONS_UNIFIED", "SECRET_KEY", "SECRET_KEY_FALLBACKS"}:
        _keys.cache_clear()


setting_changed.connect(_forget, dispatch_uid="sessions_unified.sealing")


class Sealed(str):
    """Text as the database holds it, not opened yet."""

    __slots__ = ()


class _OpensOnAccess(DeferredAttribute):
    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        return unseal(value) if isinstance(value, Sealed) else value

    # With it the descriptor comes before the instance's own dictionary.
    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class SealedTextField(models.TextField):  # type: ignore[type-arg]  # only the stubs are generic
    """Text that is sealed in the database, and opened when a row's attribute is read.

    Not before: a row whose key is missing can be listed, and written in its other fields.
    ``values()`` gives it sealed, and it cannot be searched for.
    """

    descriptor_class = _OpensOnAccess

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        """Return the text as it is stored."""
        return None if value is None else Sealed(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return the plain text, or what was read from the database as it was."""
        return model_instance.__dict__.get(self.attname)

    def get_prep_value(self, value: Any) -> str | None:
        """Return the sealed text."""
        if value is None or isinstance(value, Sealed):
            return value if value is None else str(value)
        return seal(str(value))

    def get_lookup(self, lookup_name: str) -> Any:
        """Return the look-up: only whether there is a value; each sealing differs."""
        if lookup_name != "isnull":
            message = f"A sealed field cannot be looked up by {lookup_name!r}."
            raise TypeError(message)
        return super().get_lookup(lookup_name)


def is_present(row: models.Model, name: str) -> bool:
    """Tell whether a row has something in a sealed field, without opening it."""
    return bool(row.__dict__.get(name))
