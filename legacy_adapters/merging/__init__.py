"""One session out of the copies of it that several stores hold, by a declared rule per field."""

from legacy_adapters.merging.candidates import Candidate, Conflict, Merged
from legacy_adapters.merging.merge import merge

__all__ = ["Candidate", "Conflict", "Merged", "merge"]
