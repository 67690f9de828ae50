"""A browser's entries as the sessions that they describe, and what it may begin again with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from legacy_adapters.exceptions import UnreadableRecordError
from legacy_adapters.local_storage.blobs import Broken
from legacy_adapters.local_storage.copying import orderable
from sessions_unified.flow import COMPLETED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from legacy_adapters.base import LegacyRecord
    from legacy_adapters.local_storage.adapter import LocalStorageAdapter
    from sessions_unified.snapshot import SessionSnapshot


@dataclass(frozen=True, kw_only=True)
class Reading:
    """An entry, and the session that it describes."""

    record: LegacyRecord
    session: SessionSnapshot

    @property
    def claims_payment(self) -> bool:
        """Whether the browser says that this order is paid."""
        return is_bought(self.session)

    @property
    def age(self) -> tuple[datetime, str]:
        """What the newest has most of, by the browser's word."""
        return self.session.updated_at, self.session.id


def is_bought(session: SessionSnapshot) -> bool:
    """Tell whether a session is paid, so that it is not offered again."""
    return session.is_paid or session.status == COMPLETED


def read(adapter: LocalStorageAdapter) -> tuple[dict[str, Reading], list[Broken]]:
    """Return the entries by id, and those that describe no session."""
    readings: dict[str, Reading] = {}
    broken: list[Broken] = []
    for record in adapter.present():
        try:
            session = adapter.to_unified(record)
        except UnreadableRecordError as exc:
            broken.append(Broken(key=record.id, content=record.data, reason=exc.reason))
            continue
        readings[session.id] = Reading(record=record, session=session)
    return readings, broken


def newest_order(readings: Iterable[Reading]) -> list[dict[str, Any]] | None:
    """Return the lines of the newest entry that has any and does not say that it is paid."""
    unpaid = [each for each in readings if not each.claims_payment]
    for each in sorted(unpaid, key=lambda reading: reading.age, reverse=True):
        lines = orderable(each.session.products)
        if lines:
            return lines
    return None
