"""Whether a legacy store and the sessions here say the same: all of it, or a sample. Reads only."""

from legacy_adapters.verifying.findings import Finding, Kind, Report
from legacy_adapters.verifying.run import verify
from legacy_adapters.verifying.scope import Scope
from legacy_adapters.verifying.telling import advice, report_lines

__all__ = ["Finding", "Kind", "Report", "Scope", "advice", "report_lines", "verify"]
