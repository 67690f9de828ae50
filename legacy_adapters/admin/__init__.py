"""The migration in Django's admin: conflicts to decide on, backfills, what could not be read."""

from legacy_adapters.admin.backfills import BackfillRunAdmin
from legacy_adapters.admin.blobs import KeptBlobAdmin
from legacy_adapters.admin.conflicts import SessionConflictAdmin
from legacy_adapters.admin.records import ImportRecordAdmin
from legacy_adapters.admin.tokens import RefusedTokenAdmin

__all__ = [
    "BackfillRunAdmin",
    "ImportRecordAdmin",
    "KeptBlobAdmin",
    "RefusedTokenAdmin",
    "SessionConflictAdmin",
]
