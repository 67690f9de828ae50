"""The store that holds sessions as a whole, and what its silence and its refusals are to views."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from legacy_adapters.conf import get_adapter, get_sources
from legacy_adapters.exceptions import SourceUnavailableError, UnwritableRecordError
from legacy_adapters.migration.conf import get_conf
from sessions_unified.exceptions import DatabaseUnavailableError, InvalidChangeError

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def primary_name() -> str:
    """Return the name of the legacy store that holds sessions as a whole.

    Raises:
        ImproperlyConfigured: no store can be listed and written.

    """
    named = get_conf().PRIMARY
    if named is not None:
        return named
    for name in get_sources():
        adapter = get_adapter(name)
        if adapter.supports_scan and adapter.supports_write and not adapter.needs_request:
            return name
    raise ImproperlyConfigured(
        "No store of LEGACY_ADAPTERS can be listed and written: a migration needs one that holds "
        "sessions as a whole. Name it in MIGRATION['PRIMARY']."
    )


def _forget(*, setting: str, **_: object) -> None:
    if setting in {"LEGACY_ADAPTERS", "MIGRATION"}:
        primary_name.cache_clear()


setting_changed.connect(_forget, dispatch_uid="legacy_adapters.migration.sides.primary")


class OldShopUnavailableError(DatabaseUnavailableError):
    """The old shop's sessions cannot be reached now. Nothing is lost. Try again later."""


@contextmanager
def answering() -> Iterator[None]:
    """Raise of a legacy store that does not answer what views know: try again later.

    Raises:
        OldShopUnavailableError: in place of a `SourceUnavailableError`.

    """
    try:
        yield
    except SourceUnavailableError as exc:
        raise OldShopUnavailableError from exc


@contextmanager
def accepting() -> Iterator[None]:
    """Say of what the legacy store cannot hold that it is a bad change, where it comes first.

    Raises:
        InvalidChangeError: in place of an `UnwritableRecordError`.

    """
    try:
        yield
    except UnwritableRecordError as exc:
        raise InvalidChangeError(f"The old shop's store cannot hold it: {exc.reason}.") from exc
