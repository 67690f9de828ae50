"""Whether the stores that the server cannot list have had their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.migration import unseen as sightings
from legacy_adapters.migration.gates.gate import Gate

if TYPE_CHECKING:
    from legacy_adapters.migration.gates.gate import Move


def unseen(move: Move) -> Gate:
    """The longest life of a store that cannot be listed has passed since unified came first.

    Until then a session may come that only a browser, or another process, knows.
    """
    stores = sightings.unseen(move.tiers)
    if not stores:
        return Gate(name="unseen", is_open=True, reason="Every legacy store can be listed.")
    last = max(stores, key=lambda each: each.life)
    if last.retire_at is None:
        reason = (
            "Every endpoint must be at live or later for all sessions; "
            f"{last.life} after that the copies in {last.source} are dead."
        )
        return Gate(name="unseen", is_open=False, reason=reason, figure="not begun")
    left = ", ".join(f"{each.sessions:,} in {each.source}" for each in stores)
    when = f"{last.retire_at:%Y-%m-%d %H:%M} UTC"
    if move.now >= last.retire_at:
        reason = f"The last copies in {last.source} died by {when}."
        return Gate(name="unseen", is_open=True, reason=reason, figure=left, needs=when)
    reason = (
        f"It may go on from {when}: until then a copy may live in {last.source} alone; unseen are "
        f"{left}."
    )
    return Gate(name="unseen", is_open=False, reason=reason, figure=left, needs=when)
