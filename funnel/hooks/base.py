"""The role of a target: somebody who is told of orders, and what becomes of telling them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from funnel.hooks.event import HookEvent


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one try.

    Attributes:
        error: why it failed; empty if it did not. Never what the target said: that may quote the
            order.
        retry_after_seconds: how long the target asks to be left alone with this.
        is_final: trying again is of no use.
        rests: the target wants a rest from everything.

    """

    error: str = ""
    retry_after_seconds: float = 0.0
    is_final: bool = False
    rests: bool = False

    @property
    def is_delivered(self) -> bool:
        """Whether the target has it."""
        return not self.error


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """Somebody who is told, by the name that ``HOOKS`` gives them."""

    name: str

    @property
    @abstractmethod
    def lease_seconds(self) -> float:
        """How long a delivery is left to whoever has begun it; longer than it can take."""

    @abstractmethod
    def deliver(self, event: HookEvent) -> Result:
        """Tell once. What goes wrong is a failed result, never an exception."""
