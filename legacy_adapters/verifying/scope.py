"""What a verification compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is compared.

    Attributes:
        sample: about so many records; None: all of them.
        seed: which ones.
        since: only what was changed then or later, by the store's own word.
        batch_size: records a statement.

    """

    sample: int | None = None
    seed: int = 0
    since: datetime | None = None
    batch_size: int = 500

    @property
    def is_full(self) -> bool:
        """Whether every record is read, so that what is gone from the store can be told."""
        return self.sample is None and self.since is None

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "sample": self.sample,
            "seed": None if self.sample is None else self.seed,
            "since": None if self.since is None else self.since.isoformat(),
        }
