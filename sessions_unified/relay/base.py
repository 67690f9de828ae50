"""The role of a consumer: somebody who must be told of every event."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessions_unified.event_log import Entry


class Consumer(ABC):
    """One consumer of the event log, with a cursor of its own.

    Attributes:
        name: names its cursor; at most 64 characters.

    """

    name: ClassVar[str]

    @property
    def history_seconds(self) -> float | None:
        """How old the first events are that it gets when it is new; None: all there are.

        It is also as far back as `replay_seconds` can ask; with None that is ten minutes.
        """
        return None

    @abstractmethod
    def handle(self, entries: Sequence[Entry]) -> None:
        """Do what these events ask for; they come again if it raises.

        Called inside the transaction that saves the cursor, so what it writes to the database
        happens exactly once. It must be quick: the transaction holds every reader of the log back.
        """

    def replay_seconds(self) -> float:
        """Return how many seconds of events it needs once more; 0: none. Asked before each batch.

        For a consumer whose effects can be lost after the cursor was saved.
        """
        return 0
