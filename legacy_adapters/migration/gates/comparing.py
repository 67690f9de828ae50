"""Whether enough was compared, and enough of it agreed."""

from __future__ import annotations

from math import floor
from statistics import NormalDist
from typing import TYPE_CHECKING

from legacy_adapters.migration.conf import get_conf
from legacy_adapters.migration.gates.gate import Gate

if TYPE_CHECKING:
    from legacy_adapters.migration.gates.gate import Move
    from legacy_adapters.migration.parity.summing import Parity


def comparisons(move: Move) -> Gate:
    """Enough reads were compared at the stage for their outcome to say something."""
    done = 0 if move.parity is None else move.parity.compared
    needed = get_conf().MIN_COMPARISONS
    figure, needs = f"{done:,}", f"{needed:,}"
    if done >= needed:
        reason = f"{done:,} reads were compared."
        return Gate(name="comparisons", is_open=True, reason=reason, figure=figure, needs=needs)
    reason = (
        f"{done:,} reads were compared, of {needed:,} that are needed; wait for more, or let more "
        "sessions into the stage."
    )
    return Gate(name="comparisons", is_open=False, reason=reason, figure=figure, needs=needs)


def parity(move: Move) -> Gate:
    """At the lower bound of what can be concluded from the last day, enough reads agree."""
    conf = get_conf()
    needs = f"more than {_percent(conf.PARITY_THRESHOLD)}"
    found = move.parity
    bound = None if found is None else found.lower_bound
    if found is None or bound is None:
        reason = "Nothing was compared lately; reads of this endpoint must come in."
        return Gate(name="parity", is_open=False, reason=reason, figure="none", needs=needs)
    figure = _percent(bound)
    is_open = bound > conf.PARITY_THRESHOLD
    told = f"At least {figure} of the reads agree, as far as {found.compared:,} comparisons tell"
    if is_open:
        return Gate(name="parity", is_open=True, reason=f"{told}.", figure=figure, needs=needs)
    reason = f"{told}; it must be {needs}. {_way_out(found)}"
    return Gate(name="parity", is_open=False, reason=reason, figure=figure, needs=needs)


def _percent(share: float) -> str:
    """Return a share as people write it: as exact as needed, to four places at most."""
    return f"{share:.4%}".rstrip("%").rstrip("0").rstrip(".") + " %"


def _way_out(found: Parity) -> str:
    if found.confirmed:
        fields = ", ".join(sorted(found.fields)) or "see the findings"
        return f"{found.confirmed:,} differ ({fields}): find out why, and repair them."
    if get_conf().PARITY_THRESHOLD >= 1:
        return "No number of comparisons proves that all agree: PARITY_THRESHOLD must be below 1."
    return f"None differs, but so few prove no more: {_enough():,} are needed."


def _enough() -> int:
    """Return how many comparisons without a difference it takes: Wilson's bound, solved for n."""
    conf = get_conf()
    z = NormalDist().inv_cdf(conf.CONFIDENCE)
    return floor(z * z * conf.PARITY_THRESHOLD / (1 - conf.PARITY_THRESHOLD)) + 1
