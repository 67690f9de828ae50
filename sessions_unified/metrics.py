"""What the core counts, for Prometheus; `docs/reference/metrics.md` lists it from here.

Paths that take a microsecond count in plain integers and hand them over now and then
(`sessions_unified.tiers.memory`); everything else counts here at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

_FAST: Final = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 1, 5)
_AGES: Final = (0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 30, 45, 60)

READS: Final = Counter(
    "sessions_unified_reads",
    "Reads of a tier. result: hit, miss, bypass (L1 while its channel is not proven), error.",
    ["tier", "result"],
)
FILLS: Final = Counter(
    "sessions_unified_fills",
    "Copies offered to a tier after a miss. result: kept, refused (the lease no longer stood).",
    ["tier", "result"],
)
PUTS: Final = Counter(
    "sessions_unified_puts",
    "Copies offered to Redis after a commit. result: sent, lost (the relay mends it).",
    ["result"],
)
ANSWER_AGE: Final = Histogram(
    "sessions_unified_answer_age_seconds",
    "Age of the copies that reads were answered with. Hits of L1 are sampled.",
    ["tier"],
    buckets=_AGES,
)
OPERATION: Final = Histogram(
    "sessions_unified_operation_seconds",
    "How long a tier took. operation: read, fill, put, write, …",
    ["tier", "operation"],
    buckets=_FAST,
)
BREAKER_OPEN: Final = Gauge(
    "sessions_unified_breaker_open",
    "Processes whose circuit breaker of this tier is open.",
    ["tier"],
    multiprocess_mode="livesum",
)
BREAKER_MOVES: Final = Counter(
    "sessions_unified_breaker_moves",
    "Moves of the circuit breaker. to: open, half_open, closed.",
    ["tier", "to"],
)
REFUSED: Final = Counter(
    "sessions_unified_refused_calls",
    "Calls of a tier that were not made. reason: breaker, budget.",
    ["tier", "reason"],
)
DEGRADED: Final = Counter(
    "sessions_unified_degraded_answers",
    "Answers given without a tier. reason: redis, database.",
    ["reason"],
)
FLIGHTS: Final = Counter(
    "sessions_unified_flights",
    "Loads of one key by several readers at once. role: followed, replaced (the leader failed).",
    ["role"],
)
GAPS: Final = Counter(
    "sessions_unified_invalidation_gaps",
    "Times that L1 was emptied because invalidation messages may have been missed.",
)
L1_ENTRIES: Final = Gauge(
    "sessions_unified_l1_entries", "Copies in L1.", multiprocess_mode="livesum"
)
L1_BYTES: Final = Gauge(
    "sessions_unified_l1_bytes", "Memory of L1, estimated.", multiprocess_mode="livesum"
)
POOL_CONNECTIONS: Final = Gauge(
    "sessions_unified_database_pool_connections",
    "Database connections of the pools. state: used, idle, free (could still be opened).",
    ["state"],
    multiprocess_mode="livesum",
)
POOL_WAITING: Final = Gauge(
    "sessions_unified_database_pool_waiting",
    "Requests that wait for a database connection now.",
    multiprocess_mode="livesum",
)
POOL_WAITS: Final = Counter(
    "sessions_unified_database_pool_waits", "Requests that had to wait for a database connection."
)
POOL_WAIT_SECONDS: Final = Counter(
    "sessions_unified_database_pool_wait_seconds", "How long they have waited in total."
)
POOL_TIMEOUTS: Final = Counter(
    "sessions_unified_database_pool_timeouts", "Requests that got no database connection in time."
)
TOUCHES: Final = Counter(
    "sessions_unified_touches",
    "Touches. result: pending (in Redis), coalesced, direct (in the database).",
    ["result"],
)
TOUCHES_FLUSHED: Final = Counter(
    "sessions_unified_touches_flushed", "Pending touches written to the database."
)
RELAYED: Final = Counter(
    "sessions_unified_relayed_events", "Events handed to a consumer.", ["consumer"]
)
REPAIRS: Final = Counter(
    "sessions_unified_cache_repairs", "Copies and leases older than an event that the relay ended."
)
RELAY_FAILURES: Final = Counter(
    "sessions_unified_relay_failures",
    "Batches that a consumer of the event log failed to handle; they are tried again.",
    ["consumer"],
)
REWINDS: Final = Counter(
    "sessions_unified_relay_rewinds",
    "Times that the relay went back because it had started, or Redis had changed or failed.",
)
CLEANED: Final = Counter(
    "sessions_unified_cleaned", "Rows cleaned. work: settle, purge, events.", ["work"]
)
CLEANING_SECONDS: Final = Counter(
    "sessions_unified_cleaning_seconds",
    "Time of cleaning. state: working, waiting (for a busy database).",
    ["state"],
)
AUDITED: Final = Counter("sessions_unified_audited_sessions", "Sessions whose tiers were compared.")
DIVERGENCES: Final = Counter(
    "sessions_unified_divergences", "Divergences that the auditor has found.", ["tier", "kind"]
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A gauge that is measured when Prometheus asks (`exposition`): one answer for all processes.

    Attributes:
        name: the metric's name.
        documentation: what it says.
        labelnames: its labels.

    """

    name: str
    documentation: str
    labelnames: tuple[str, ...] = ()

    def family(self) -> GaugeMetricFamily:
        """Return it without a value."""
        return GaugeMetricFamily(self.name, self.documentation, labels=self.labelnames)


STALENESS_BOUND: Final = Measured(
    name="sessions_unified_staleness_bound_seconds",
    documentation="The published bound: no tier serves a copy older than this.",
)
CLOCK_SKEW: Final = Measured(
    name="sessions_unified_clock_skew_seconds",
    documentation="How far this host's clock is ahead of the database's.",
)
TIER_UP: Final = Measured(
    name="sessions_unified_tier_up",
    documentation="1 if the tier answered at this scrape, as it would a shopper. tier: redis, "
    "database.",
    labelnames=("tier",),
)
DATABASE_WRITABLE: Final = Measured(
    name="sessions_unified_database_writable",
    documentation="1 if the database takes writes; 0 if it answers and is read-only.",
)
RELAY_LAG_SECONDS: Final = Measured(
    name="sessions_unified_relay_lag_seconds",
    documentation="Age of the oldest event that a consumer of the event log has not handled.",
    labelnames=("consumer",),
)
RELAY_LAG_EVENTS: Final = Measured(
    name="sessions_unified_relay_lag_events",
    documentation="Events that a consumer of the event log has not handled; 10,000 at most.",
    labelnames=("consumer",),
)
RELAY_HELD_SECONDS: Final = Measured(
    name="sessions_unified_relay_held_seconds",
    documentation="Age of the oldest writing transaction, which the relay cannot pass.",
)
EXPIRY_BACKLOG: Final = Measured(
    name="sessions_unified_expiry_backlog",
    documentation="Sessions past their end that are not settled yet; 10,000 at most.",
)
EXPIRY_OLDEST: Final = Measured(
    name="sessions_unified_expiry_oldest_seconds",
    documentation="For how long the oldest of them has been past its end.",
)
TOUCHES_PENDING: Final = Measured(
    name="sessions_unified_touches_pending", documentation="Touches not flushed yet."
)
TOUCHES_OLDEST: Final = Measured(
    name="sessions_unified_touches_oldest_seconds",
    documentation="Age of the oldest of them.",
)
