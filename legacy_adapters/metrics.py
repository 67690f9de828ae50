"""What the adapters count, for Prometheus; `docs/reference/metrics.md` lists it from here."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

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
