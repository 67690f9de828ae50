"""Which comparisons count for an endpoint where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from legacy_adapters.migration.parity.summing import parity_of
from legacy_adapters.migration.stages.names import Stage
from legacy_adapters.migration.steering import history

if TYPE_CHECKING:
    from legacy_adapters.migration.parity.summing import Parity
    from legacy_adapters.migration.stages.names import Endpoint
    from legacy_adapters.migration.stages.view import Place
    from sessions_unified.tiers import Tiers


def counted(tiers: Tiers, endpoint: Endpoint, place: Place) -> Parity | None:
    """Return the comparisons that count where an endpoint is; None: none are made so early.

    Those since it came to the stage, unless they are too old. `ramp_down` goes by `live`.
    """
    if not Stage.SHADOW.rank <= place.stage.rank <= Stage.RAMP_DOWN.rank:
        return None
    stage = Stage.LIVE if place.stage is Stage.RAMP_DOWN else place.stage
    return parity_of(tiers, endpoint, stage, since=history.entered(endpoint, stage))
