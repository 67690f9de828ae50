"""What the legacy stores of the server hold of one session, for a person who looks into it.

The core asks for it by ``SESSIONS_UNIFIED["OTHER_COPIES"]``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from legacy_adapters.conf import get_adapter, get_sources
from legacy_adapters.exceptions import LegacyAdaptersError, UnreadableRecordError
from legacy_adapters.merging.comparing import differing
from sessions_unified.clock import get_clock
from sessions_unified.other_copies import OtherCopy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from legacy_adapters.base import LegacyAdapter


def legacy_copies(session_id: str) -> Iterator[OtherCopy]:
    """Yield what each legacy store that the server can read holds. Writes nothing.

    A store that does not answer, or whose record cannot be read, says so as its ``error``.
    """
    for source in get_sources():
        name = f"legacy {source}"
        try:
            adapter = get_adapter(source)
            if adapter.needs_request:
                continue
            found = _copy(name, adapter, session_id)
            # That this process' own memory lacks it says nothing of the others'.
            if found.session is not None or adapter.supports_scan:
                yield found
        except UnreadableRecordError as exc:
            yield OtherCopy(name=name, error=f"has a record that cannot be read: {exc.reason}")
        except (LegacyAdaptersError, ImproperlyConfigured) as exc:
            yield OtherCopy(name=name, error=str(exc))


def _copy(name: str, adapter: LegacyAdapter, session_id: str) -> OtherCopy:
    record = adapter.peek(session_id)
    if record is None:
        return OtherCopy(name=name, fields=adapter.fields)
    session = adapter.to_unified(record)
    compared = partial(
        differing, session, fields=adapter.fields, now=get_clock().now(), store=adapter.store
    )
    return OtherCopy(name=name, session=session, fields=adapter.fields, differing=compared)
