"""What an audit found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

CASES_KEPT: Final = 100

MEANINGS: Final = {
    "stale": "older than the database",
    "differs": "of the database's version, and yet not the same",
    "ahead": "newer than the database: a write was acknowledged, and lost",
    "orphan": "of a session that the database lacks, or has deleted",
    "unreadable": "nothing that this release can read",
    "immortal": "kept for longer than the bound on age allows",
    "log": "a row whose version is not its last event's",
}
"""Kind of divergence → what it means."""


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """One difference, with nothing personal in it.

    Attributes:
        tier: who holds what is wrong: ``redis``, ``memory``, ``database``.
        kind: one of `MEANINGS`.
        holds: the version it holds; None if it cannot be read.
        truth: the database's; for ``log`` the last event's. None if there is none.
        fields: the names of fields that differ.

    """

    session_id: str
    tier: str
    kind: str
    holds: int | None = None
    truth: int | None = None
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        holds, truth = (_version(number) for number in (self.holds, self.truth))
        if self.kind == "unreadable":
            holds = "something unreadable"
        against = f"the log says {truth}" if self.kind == "log" else f"the database has {truth}"
        named = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.kind} {self.session_id}: {self.tier} holds {holds}, {against}{named}"

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "id": self.session_id,
            "tier": self.tier,
            "kind": self.kind,
            "holds": self.holds,
            "truth": self.truth,
            "fields": self.fields,
        }


@dataclass(kw_only=True)
class AuditReport:
    """The sums of an audit, and its first cases.

    Attributes:
        sessions: how many were compared.
        copies: how many copies of them the caches held.
        unknown: the sessions that no tier has anything of.
        counts: (tier, kind) → how many divergences.
        repaired: how many of them are gone.
        cases: the first `CASES_KEPT`.

    """

    sessions: int = 0
    copies: int = 0
    unknown: list[str] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    repaired: int = 0
    cases: list[Divergence] = field(default_factory=list)

    @property
    def found(self) -> int:
        """How many divergences there were."""
        return self.counts.total()

    @property
    def remaining(self) -> int:
        """How many there still are."""
        return self.found - self.repaired

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "sessions": self.sessions,
            "copies": self.copies,
            "unknown": self.unknown,
            "found": self.found,
            "repaired": self.repaired,
            "remaining": self.remaining,
            "counts": [
                {"tier": tier, "kind": kind, "count": count}
                for (tier, kind), count in sorted(self.counts.items())
            ],
            "cases": [case.as_json() for case in self.cases],
        }


def _version(number: int | None) -> str:
    return "nothing" if number is None else f"v{number}"
