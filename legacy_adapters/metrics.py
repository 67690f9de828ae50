"""What the adapters count, for Prometheus; `docs/reference/metrics.md` lists it from here."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

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
