"""Copies of a session outside the tiers: of stores that a site knows and the core does not.

For a person who looks into one session. Shoppers' requests never come here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from django.utils.module_loading import import_string

from sessions_unified.conf import get_conf
from sessions_unified.snapshot import SessionSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OtherCopy:
    """What one store outside the tiers holds of a session.

    Attributes:
        name: what people call the store.
        session: the session as it has it; None: it has none, or see ``error``.
        error: why that cannot be told; no personal data.
        fields: the session's fields that it has a place for; None: all of them.
        differing: given our session, the names of the fields that contradict it; None: those of
            ``fields`` that are not equal.

    """

    name: str
    session: SessionSnapshot | None = None
    error: str | None = None
    fields: frozenset[str] | None = None
    differing: Callable[[SessionSnapshot], Collection[str]] | None = None

    def differences(self, truth: SessionSnapshot | None) -> tuple[str, ...]:
        """Return the names of the fields in which it differs from ``truth``, in their order."""
        if self.session is None or truth is None:
            return ()
        names = [each for each in SessionSnapshot.__struct_fields__ if self.speaks_of(each)]
        if self.differing is not None:
            found = self.differing(truth)
            return tuple(name for name in names if name in found)
        return tuple(name for name in names if getattr(self.session, name) != getattr(truth, name))

    def speaks_of(self, name: str) -> bool:
        """Tell whether the store has a place for a field."""
        return self.fields is None or name in self.fields


class CopySource(Protocol):
    """What ``OTHER_COPIES`` names: it looks into one store or several. Writes nothing."""

    def __call__(self, session_id: str) -> Iterable[OtherCopy]:
        """Return a copy for each store, whether it holds the session or not."""


def other_copies(session_id: str) -> tuple[OtherCopy, ...]:
    """Return what the stores of ``OTHER_COPIES`` hold. Never raises: a failure is an ``error``."""
    found: list[OtherCopy] = []
    for path in get_conf().OTHER_COPIES:
        try:
            source: CopySource = import_string(path)
            found += source(session_id)
        except Exception as exc:  # noqa: BLE001  (one store must not hide the others)
            # Its name alone, here and in the log: a stranger's message may quote what it read.
            logger.warning("The copies of %s could not be read: %s", path, type(exc).__name__)
            found.append(OtherCopy(name=path, error=f"failed: {type(exc).__name__}"))
    return tuple(found)
