"""One batch of a backfill in one transaction: import, notice what is known, never overwrite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from legacy_adapters.conflicts import recording
from legacy_adapters.migration.importing import records
from legacy_adapters.migration.importing.meeting import ALL_FIELDS, Meeting, Outcome
from sessions_unified.importing import import_sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from legacy_adapters.migration.importing.records import Known, Reading
    from legacy_adapters.stores import Store
    from sessions_unified.tiers import Tiers


def import_batch(
    tiers: Tiers,
    readings: Sequence[Reading],
    *,
    source: str,
    store: Store,
    fields: frozenset[str] = ALL_FIELDS,
    is_dry_run: bool = False,
) -> list[Outcome]:
    """Import records with different ids, all or none; a dry run undoes it again.

    ``fields`` are those that the store's format has a place for (`LegacyAdapter.fields`).

    Safe beside other backfills and shoppers: an id is inserted by one of them, and a session that
    is here already is locked before its record meets it.
    """
    alias = tiers.database.alias
    with transaction.atomic(using=alias):
        meeting = Meeting(tiers=tiers, source=source, store=store, fields=fields)
        outcomes = _import(tiers, readings, meeting)
        if is_dry_run:
            transaction.set_rollback(True, using=alias)
    return outcomes


def _import(tiers: Tiers, readings: Sequence[Reading], meeting: Meeting) -> list[Outcome]:
    alias, source = tiers.database.alias, meeting.source
    known = records.known(alias, source, [each.id for each in readings])
    fresh = [each for each in readings if each.id not in known]
    versions = import_sessions(tiers, [each.session for each in fresh], source=source)
    mine = [each for each in fresh if each.id in versions]
    records.remember(alias, source, mine, versions, tiers.clock.now())
    outcomes = {each.id: Outcome(id=each.id, kind="imported") for each in mine}
    met = [each for each in readings if each.id not in versions and _says_more(each, known)]
    if met:
        outcomes |= {each.id: each for each in meeting.decide(met)}
    _settle_conflicts(alias, source, readings, outcomes)
    return [outcomes.get(each.id) or Outcome(id=each.id, kind="unchanged") for each in readings]


def _says_more(reading: Reading, known: dict[str, Known]) -> bool:
    """Tell whether the record is not the one that was imported."""
    record = known.get(reading.id)
    return record is None or record.digest != reading.record.digest


def _settle_conflicts(
    alias: str, source: str, readings: Sequence[Reading], outcomes: dict[str, Outcome]
) -> None:
    """Forget open conflicts that are none any more; there are few, or none: one look tells.

    One that was decided by a rule is for the record, and stays as long as its record does.
    """
    digests = {each.id: each.record.digest for each in readings}
    agreed = [
        session_id
        for session_id, digest, blocks in recording.open_conflicts(source, digests, using=alias)
        if (blocks or digest != digests[session_id])
        and not (session_id in outcomes and outcomes[session_id].kind == "conflicting")
    ]
    recording.settle(source, agreed, using=alias)
