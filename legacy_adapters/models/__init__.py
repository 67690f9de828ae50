"""What the migration remembers: imports, runs, refused things; stages, marks and parity."""

from legacy_adapters.models.backfills import BackfillFinding, BackfillRun, BackfillSlice
from legacy_adapters.models.imports import ImportRecord, SessionConflict
from legacy_adapters.models.marks import WriteMark
from legacy_adapters.models.parity import ParityFinding, ParityMinute, StoreSighting
from legacy_adapters.models.refused import KeptBlob, RefusedToken
from legacy_adapters.models.rooms import Migration
from legacy_adapters.models.stages import EndpointStage, ProcessReport, StageChange

__all__ = [
    "BackfillFinding",
    "BackfillRun",
    "BackfillSlice",
    "EndpointStage",
    "ImportRecord",
    "KeptBlob",
    "Migration",
    "ParityFinding",
    "ParityMinute",
    "ProcessReport",
    "RefusedToken",
    "SessionConflict",
    "StageChange",
    "StoreSighting",
    "WriteMark",
]
