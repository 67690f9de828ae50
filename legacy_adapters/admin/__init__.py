"""The migration in Django's admin: its control room, conflicts, backfills, repairs and oddities."""

from legacy_adapters.admin.backfills import BackfillRunAdmin
from legacy_adapters.admin.blobs import KeptBlobAdmin
from legacy_adapters.admin.conflicts import SessionConflictAdmin
from legacy_adapters.admin.control.room import MigrationAdmin
from legacy_adapters.admin.differences import ParityFindingAdmin
from legacy_adapters.admin.history import StageChangeAdmin
from legacy_adapters.admin.marks import WriteMarkAdmin
from legacy_adapters.admin.records import ImportRecordAdmin
from legacy_adapters.admin.tokens import RefusedTokenAdmin

__all__ = [
    "BackfillRunAdmin",
    "ImportRecordAdmin",
    "KeptBlobAdmin",
    "MigrationAdmin",
    "ParityFindingAdmin",
    "RefusedTokenAdmin",
    "SessionConflictAdmin",
    "StageChangeAdmin",
    "WriteMarkAdmin",
]
