"""What the migration's model test is made of: a ledger of shoppers' sessions, and sides that fail.

The ledger holds, for each session, every state that it may be in: one, or several where a write
failed and nobody can say whether it happened. What is read decides between them, for good.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID, uuid4

from django.db import OperationalError, connections

from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.migration import manager, marks
from legacy_adapters.migration.sides import locked
from legacy_adapters.migration.sides.joining import UNMAPPED
from legacy_adapters.migration.stages.cache import STAGES
from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.wire import INTERNAL_METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

    from legacy_adapters.base import LegacyRecord
    from legacy_adapters.migration.stages.view import StageView
    from sessions_unified.snapshot import SessionSnapshot
    from sessions_unified.tiers import Tiers

FIELDS: Final = ("email", "customer", "amount", "currency", "status", "current_step", "metadata")
ADAPTER: Final = "tests.migrating_model.FailingTable"

State = dict[str, Any]


class KilledError(BaseException):
    """The process is gone: nobody catches it, and nothing of what was to come happens."""


@dataclass
class Faults:
    """What fails next, in this process: one point once, or a whole side until it is healed.

    Attributes:
        point: where; None: nowhere.
        is_deadly: the process dies there, instead of getting an error.
        is_legacy_down: the old shop's database answers nothing.
        die: how the process dies.

    """

    point: str | None = None
    is_deadly: bool = False
    is_legacy_down: bool = False
    die: Callable[[], None] | None = None

    def reach(self, point: str, error: type[Exception]) -> None:
        """Fail, if this is where it was to be."""
        if self.point == point:
            self.point = None
            if self.die is not None:
                self.die()
            raise KilledError if self.is_deadly else error

    def heal(self) -> None:
        self.point, self.is_legacy_down = None, False


FAULTS: Final = Faults()


class FailingTable(DatabaseAdapter):
    """The old shop's table, reached over a network that fails where `FAULTS` says."""

    def peek(self, session_id: str) -> LegacyRecord | None:
        self._ask("legacy read")
        return super().peek(session_id)

    def save(self, record: LegacyRecord) -> None:
        self._ask("legacy write")
        super().save(record)

    def delete(self, session_id: str) -> bool:
        self._ask("legacy write")
        return super().delete(session_id)

    @contextmanager
    def holding(self, session_id: str) -> Iterator[None]:
        """Fail before the commit there, or after it: then nobody has heard that it was done."""
        self._ask("legacy lock")
        with super().holding(session_id):
            yield
            self._ask("legacy commit")
        FAULTS.reach("legacy committed", SourceUnavailableError)

    @staticmethod
    def _ask(point: str) -> None:
        FAULTS.reach(point, SourceUnavailableError)
        if FAULTS.is_legacy_down:
            raise SourceUnavailableError


POINTS: Final = (
    "before the mark",
    "after the mark",
    "legacy read",
    "legacy write",
    "legacy commit",
    "legacy committed",
    "our write",
    "our commit",
    "repair",
    "mark cleared",
)


def wrap(patch: pytest.MonkeyPatch) -> None:
    """Have our own side fail too where `FAULTS` says."""
    put, clear = marks.put, marks.clear
    write = locked.LegacyLockedSession._write_ours
    mend = manager.MigratingSessionManager._repair

    def failing_put(*given: Any) -> marks.Mark:
        FAULTS.reach("before the mark", DatabaseUnavailableError)
        mark = put(*given)
        FAULTS.reach("after the mark", DatabaseUnavailableError)
        return mark

    def failing_clear(*given: Any) -> bool:
        FAULTS.reach("our commit", DatabaseUnavailableError)
        found = clear(*given)
        FAULTS.reach("mark cleared", DatabaseUnavailableError)
        return found

    def failing_write(self: locked.LegacyLockedSession, *given: Any) -> None:
        FAULTS.reach("our write", DatabaseUnavailableError)
        write(self, *given)

    def failing_repair(self: manager.MigratingSessionManager, session_id: str) -> bool:
        if FAULTS.point == "repair" and not FAULTS.is_deadly:
            FAULTS.point = None
            return False  # a worker's business
        FAULTS.reach("repair", DatabaseUnavailableError)
        return mend(self, session_id)

    patch.setattr(marks, "put", failing_put)
    patch.setattr(marks, "clear", failing_clear)
    patch.setattr(locked.LegacyLockedSession, "_write_ours", failing_write)
    patch.setattr(manager.MigratingSessionManager, "_repair", failing_repair)


@contextmanager
def no_database(*all_tiers: Tiers) -> Iterator[None]:
    """Let our own database answer nothing within the block."""

    def refuse(*_: Any) -> None:
        raise OperationalError("the server is away")

    try:
        with connections[all_tiers[0].database.alias].execute_wrapper(refuse):
            yield
    finally:
        for tiers in all_tiers:
            tiers.database.breaker.succeeded()


@dataclass(kw_only=True)
class Process:
    """A process of the shop: its tiers, and the stages as it has seen them.

    Attributes:
        view: None: it has just been started.

    """

    tiers: Tiers
    view: StageView | None = None
    id: UUID = field(default_factory=uuid4)

    @contextmanager
    def acting(self) -> Iterator[Self]:
        """Make what this process knows what is known within the block."""
        STAGES._view = self.view
        try:
            if self.view is None:
                STAGES.refresh(self.tiers)
            STAGES._read_at = float("inf")  # for ever: nothing is looked up by itself
            yield self
        finally:
            self.view, STAGES._view = STAGES._view, None

    def refresh(self) -> StageView:
        with self.acting():
            return STAGES.refresh(self.tiers)


@dataclass
class Ledger:
    """What was acknowledged: session → the states that it may be in; None: deleted.

    Attributes:
        past: every state that it ever may have been in.
        behind: sessions that the old code has changed beside us, so that our side cannot know yet.

    """

    states: dict[str, list[State | None]] = field(default_factory=dict)
    past: dict[str, list[State | None]] = field(default_factory=dict)
    behind: set[str] = field(default_factory=set)

    def now(self, session_id: str, *states: State | None) -> None:
        """It is in one of these states."""
        self.states[session_id] = [*states]
        known = self.past.setdefault(session_id, [])
        known += [each for each in states if each not in known]

    def after(self, session_id: str, change: Mapping[str, Any]) -> list[State | None]:
        """Return the states that a change leads to."""
        return [{**each, **change} for each in self.states[session_id] if each is not None]

    def half(self, session_id: str, change: Mapping[str, Any]) -> list[State | None]:
        """Return the states of a change that failed between the two sides.

        What the legacy store cannot hold is then as before: nobody was told that it is otherwise.
        """
        mapped = {name: value for name, value in change.items() if name not in UNMAPPED}
        return self.after(session_id, mapped)

    def saw(self, session_id: str, found: State | None) -> None:
        """Somebody was told that it is in this state: it must be one of those, and stays it."""
        states = self.states[session_id]
        assert found in states, f"{session_id} is {found}, and should be {states}"
        self.states[session_id] = [found]

    def saw_late(self, session_id: str, found: State | None) -> None:
        """Somebody who may be behind was told that it is in this state."""
        past = self.past[session_id]
        assert found in past, f"{session_id} is {found}, and was ever only {past}"


def state_of(session: SessionSnapshot) -> State:
    """Return what a session says, without bookkeeping."""
    state = {name: getattr(session, name) for name in FIELDS}
    state["customer"] = None if session.customer is None else dict(session.customer)
    metadata = session.metadata.items()
    state["metadata"] = {name: value for name, value in metadata if name != INTERNAL_METADATA}
    return state


def attempt(call: Callable[[], Any], *errors: type[Exception]) -> Any:
    """Return what ``call`` answers, or one of these errors as a value."""
    try:
        return call()
    except errors as exc:
        return exc
