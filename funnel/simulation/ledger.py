"""What shoppers were told: for each session the last state that the site acknowledged.

A write that was never answered may have happened or not: its field is unsure, and is not looked
at. Everything else must be what the site says in the end.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STEPS: Final = ("checkout", "processing", "upsell-1", "upsell-2", "success")
FIELDS: Final = ("email", "customer", "products", "amount", "currency", "transactionId")
"""What nobody but the shopper's own requests changes."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that contradicts what a shopper was told.

    Attributes:
        kind: ``lost``, ``doubled`` or ``revived``.
        says: what of it, in words.

    """

    kind: str
    session_id: str
    says: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.session_id}: {self.says}"


@dataclass(kw_only=True)
class Facts:
    """One session, as its shopper knows it.

    Attributes:
        cookies: what opens it.
        said: the last state that an answer acknowledged, in the wire format.
        unsure: fields, and ``offer:ID``, of which an answer is missing.
        is_deleted: the shopper deleted it; None: asked to, and was not answered.

    """

    session_id: str
    cookies: dict[str, str] = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    is_deleted: bool | None = False

    def acknowledge(self, state: Mapping[str, Any], *changed: str) -> list[str]:
        """Remember a state that a write was answered with; return what contradicts earlier ones.

        ``changed`` are the fields that the write itself was about. A write sees the newest state:
        what is missing from its answer is lost, and stays remembered as it was said.
        """
        before = self.said
        if not before:
            self.said = state
            return []
        gone = list(self.contradictions(state, ignoring=frozenset(changed)))
        kept = {
            key: value
            for key, value in before["metadata"].items()
            if f"metadata.{key}" not in changed
        }
        self.said = {**state, "metadata": {**state["metadata"], **kept}}
        return gone

    def doubt(self, *fields: str) -> None:
        """Remember that a write of these was not answered."""
        self.unsure.update(fields)

    def is_over(self, now: datetime | None = None) -> bool:
        """Tell whether its time was up, as far as its shopper knows."""
        ends_at = datetime.fromisoformat(str(self.said["expiresAt"]))
        return ends_at <= (now or datetime.now(tz=UTC))

    def contradictions(
        self, state: Mapping[str, Any], *, ignoring: frozenset[str] = frozenset()
    ) -> Iterator[str]:
        """Yield what of a state of the site's is not as it was said."""
        free = self.unsure | ignoring
        for name in FIELDS:
            if name not in free and state.get(name) != self.said.get(name):
                yield f"{name} is {state.get(name)!r}, not {self.said.get(name)!r}"
        for key, value in self.said["metadata"].items():
            if f"metadata.{key}" not in free and state["metadata"].get(key) != value:
                yield f"metadata.{key} is {state['metadata'].get(key)!r}, not {value!r}"
        went_back = STEPS.index(state["currentStep"]) < STEPS.index(self.said["currentStep"])
        if went_back and "currentStep" not in free:
            yield f"it is back at {state['currentStep']}, from {self.said['currentStep']}"
        yield from self._offers(state["upsells"], free)

    def _offers(self, upsells: Mapping[str, Any], free: set[str]) -> Iterator[str]:
        said = self.said["upsells"]
        for answer in ("accepted", "declined"):
            differing = set(said[answer]) ^ set(upsells[answer])
            for offer in sorted(each for each in differing if f"offer:{each}" not in free):
                was = answer if offer in said[answer] else f"not {answer}"
                yield f"{offer} was {was}"
        for offer, detail in said["details"].items():
            found = upsells["details"].get(offer, {}).get("transactionId")
            if found != detail.get("transactionId"):
                yield f"{offer} was paid by {detail.get('transactionId')}, not {found}"


class Ledger:
    """Every session, and what contradicted itself on the way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._facts: dict[str, Facts] = {}
        self._problems: list[Problem] = []

    def open(self, session_id: str, cookies: dict[str, str]) -> Facts:
        """Begin to remember a session; the cookies go on to be the shopper's."""
        with self._lock:
            return self._facts.setdefault(session_id, Facts(session_id=session_id, cookies=cookies))

    def note(self, kind: str, session_id: str, says: str) -> None:
        """Remember a contradiction that the shopper met."""
        problem = Problem(kind=kind, session_id=session_id, says=says)
        with self._lock:
            if problem not in self._problems:
                self._problems.append(problem)

    @property
    def sessions(self) -> dict[str, Facts]:
        """Session → its facts."""
        with self._lock:
            return dict(self._facts)

    @property
    def problems(self) -> list[Problem]:
        """What was met on the way; the final look is `Simulation.check`."""
        with self._lock:
            return list(self._problems)
