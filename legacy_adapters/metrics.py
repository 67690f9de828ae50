"""What the adapters count, for Prometheus; `docs/reference/metrics.md` lists it from here."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

from sessions_unified.metrics import Measured

_LATENCIES: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

LEGACY_TOKENS: Final = Counter(
    "legacy_adapters_tokens",
    "Tokens of the old shop that browsers brought instead of ours. result: earned (a token of "
    "ours), unknown (no session, or not to be imported), other_email, over (the session has "
    "ended), unavailable (a store did not answer); or why it was refused: size, format, json, "
    "header, signature, compromised, claims, endless, expired, not_yet.",
    ["source", "result"],
)
UNWRITTEN_COOKIES: Final = Counter(
    "legacy_adapters_unwritten_cookies",
    "Cookies in the old format that were not sent because no browser would keep them.",
    ["source"],
)
SYNCS: Final = Counter(
    "legacy_adapters_browser_syncs",
    "Browsers that sent their old sessions. result: own (it may see its session), none (it may "
    "see none), gone (its session is over).",
    ["result"],
)
SYNCED_ENTRIES: Final = Counter(
    "legacy_adapters_browser_entries",
    "Old sessions that browsers sent. kind: own, foreign (of none that it may see), expired.",
    ["kind"],
)
BROKEN_ENTRIES: Final = Counter(
    "legacy_adapters_browser_broken",
    "What browsers sent and nobody can read; it is kept. what: blob, entry.",
    ["what"],
)
THROTTLED: Final = Counter(
    "legacy_adapters_throttled",
    "Requests that a throttle counted. result: allowed, refused, open (Redis could not count).",
    ["result"],
)
COMPARISONS: Final = Counter(
    "legacy_adapters_comparisons",
    "Reads whose session was to be compared on both sides. result: agreed, transient (gone at the "
    "second look), confirmed, skipped (a write under way, or no such session), failed (a side did "
    "not answer), shed (all threads were busy).",
    ["endpoint", "result"],
)
COMPARISON_READ: Final = Histogram(
    "legacy_adapters_comparison_read_seconds",
    "How long each side took to answer a comparison. side: legacy, unified.",
    ["side"],
    buckets=_LATENCIES,
)
STAGED_READ: Final = Histogram(
    "legacy_adapters_read_seconds",
    "How long reads took from `shadow` to `ramp_down`, by the side that answers there.",
    ["endpoint", "side"],
    buckets=_LATENCIES,
)
STAGED_READ_FAILURES: Final = Counter(
    "legacy_adapters_read_failures",
    "Those of them that failed.",
    ["endpoint", "side"],
)
DEMOTIONS: Final = Counter(
    "legacy_adapters_demotions",
    "Endpoints that went back to `shadow` by themselves. reason: mismatches, errors, latency.",
    ["endpoint", "reason"],
)
MARKS: Final = Measured(
    name="legacy_adapters_marks",
    documentation="Sessions that were written on one side and not yet on the other. state: waiting "
    "(for a worker), dead (given up: for a person).",
    labelnames=("state",),
)
OLDEST_MARK: Final = Measured(
    name="legacy_adapters_oldest_mark_seconds",
    documentation="For how long the oldest that a worker is to come to has waited; 0: there is "
    "none.",
)
STAGE: Final = Measured(
    name="legacy_adapters_stage",
    documentation="How far an endpoint is: 0 `off`, 1 `dual_write`, 2 `shadow`, 3 `live`, 4 "
    "`ramp_down`, 5 `complete`.",
    labelnames=("endpoint",),
)
STAGE_PERCENT: Final = Measured(
    name="legacy_adapters_stage_percent",
    documentation="For what part of the sessions, 0 to 100; the others are at the stage before.",
    labelnames=("endpoint",),
)
DEMOTED: Final = Measured(
    name="legacy_adapters_demoted",
    documentation="1 from when an endpoint went back by itself until a person brings it forward.",
    labelnames=("endpoint",),
)
PROCESSES_BEHIND: Final = Measured(
    name="legacy_adapters_processes_behind",
    documentation="Living processes that have not seen the last stage change.",
)
