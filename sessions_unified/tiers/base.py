"""The role of a tier: one place where copies of sessions live, with leases against stale fills."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sessions_unified.snapshot import SessionSnapshot


class Copy(NamedTuple):
    """A session and the database time at which it was true; the age travels with the copy."""

    session: SessionSnapshot
    true_at: datetime


# More than the clocks of two processes, each set by the database, can differ by.
_AHEAD: Final = timedelta(seconds=5)


def is_young(copy: Copy, now: datetime, bound: timedelta) -> bool:
    """Return whether ``copy`` may be served: within the bound, and not from the future.

    One from the future was dated by a clock that was wrong; nobody knows how old it is.
    """
    return -_AHEAD < now - copy.true_at < bound


class Read(NamedTuple):
    """What a tier answered: a copy, or the lease under which a miss may be filled.

    ``lease`` is None where the tier cannot be filled, now or ever.
    """

    copy: Copy | None
    lease: str | None = None


class Tier(ABC):
    """One tier.

    The contract, the same for every tier (``tests/contracts/tier.py``):

    - ``read`` returns the newest copy it has, or a miss. A miss of a tier that can be filled
      leaves a random lease under the id; misses while it stands share it.
    - ``fill`` keeps a copy only while that lease stands.
    - ``put`` (after a commit) replaces an older copy, ends a lease, and never creates; an older
      copy never replaces a newer one.
    - ``delete`` removes copy and lease, so that a load under way cannot bring it back.

    The durable tier is the source of truth: it answers reads, and its writes are methods of its
    own, so ``put``, ``fill`` and ``delete`` do nothing there.
    """

    name: ClassVar[str]
    supports_fill: ClassVar[bool] = False

    @abstractmethod
    def read(self, session_id: str) -> Read:
        """Return the copy, or a miss with its lease.

        Raises:
            TierUnavailableError: the tier did not answer.

        """

    @abstractmethod
    def peek(self, session_id: str) -> Copy | None:
        """Return what the tier holds, leaving no trace: no lease, no use counted."""

    def peek_many(self, session_ids: Iterable[str]) -> dict[str, Copy]:
        """Return the copies it holds of several sessions, in one round trip."""
        found = ((session_id, self.peek(session_id)) for session_id in session_ids)
        return {session_id: copy for session_id, copy in found if copy is not None}

    def fill(self, copy: Copy, lease: str) -> bool:
        """Keep ``copy`` if ``lease`` still stands; return whether it was kept."""
        return False

    def release(self, session_id: str, lease: str) -> None:  # noqa: B027  (optional)
        """Give back a lease whose load failed. Optional: leases end by themselves."""

    def put(self, copy: Copy) -> None:  # noqa: B027
        """Replace an older copy by ``copy``; end a lease."""

    def delete(self, session_id: str, version: int) -> None:  # noqa: B027
        """Remove copy and lease; ``version`` is the session's at its deletion or change."""
