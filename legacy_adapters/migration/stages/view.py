"""The stages of all endpoints at one moment: a value that says where a session's data is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Final

from legacy_adapters.migration.stages.names import Endpoint, Side, Stage
from legacy_adapters.migration.stages.slicing import BUCKETS, bucket_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Place:
    """An endpoint's stage, and for how many percent of the sessions; others are at the one before.

    Attributes:
        stage: the stage.
        percent: more than 0, at most 100.

    """

    stage: Stage = Stage.OFF
    percent: float | Decimal = 100

    def of(self, bucket: int) -> Stage:
        """Return the stage of the sessions in a bucket."""
        return self.stage if bucket * 100 < self.percent * BUCKETS else self.stage.before

    @property
    def of_all(self) -> Stage:
        """The stage that all sessions have reached."""
        return self.stage if self.percent >= 100 else self.stage.before  # noqa: PLR2004


_BEGINNING: Final = Place()


@dataclass(frozen=True, kw_only=True)
class StageView:
    """What one process knows of the stages.

    Attributes:
        epoch: the last stage change that it knows; 0: none yet.
        places: endpoint → where it is; one that is missing is at `off`.
        strays: the sides on which marks were found that are not where their session is written
            first now: left from before a move.

    """

    epoch: int = 0
    places: Mapping[Endpoint, Place] = field(default_factory=dict)
    strays: frozenset[Side] = frozenset()

    def place(self, endpoint: Endpoint) -> Place:
        """Return where an endpoint is."""
        return self.places.get(endpoint, _BEGINNING)

    def stage_of(self, endpoint: str, session_id: str) -> Stage:
        """Return the stage of an endpoint for a session.

        What is none of the endpoints (a task, the admin) is as far as the furthest one that is
        not past `live`, so that what it writes is kept up where anything is; it reads where the
        session is written first.
        """
        bucket = bucket_of(session_id)
        if endpoint in _NAMES:
            return self.place(Endpoint(endpoint)).of(bucket)
        stages = [self.place(each).of(bucket) for each in Endpoint]
        if self.first_side(session_id) is Side.UNIFIED:
            return min(stages, key=lambda stage: stage.rank)
        furthest = max(stages, key=lambda stage: stage.rank)
        return Stage.OFF if furthest is Stage.OFF else Stage.DUAL_WRITE

    def first_side(self, session_id: str) -> Side:
        """Return the side on which the session is written first, whatever endpoint writes."""
        is_live = bucket_of(session_id) < self.unified_buckets
        return Side.UNIFIED if is_live else Side.LEGACY

    @cached_property
    def unified_buckets(self) -> int:
        """How many buckets, from 0 on, are written to the unified side first.

        Those in which every endpoint is at `live` or later.
        """
        return min(self._live_buckets(self.place(each)) for each in Endpoint)

    @staticmethod
    def _live_buckets(place: Place) -> int:
        if place.stage.before.reads is Side.UNIFIED:
            return BUCKETS
        if place.stage.reads is Side.LEGACY:
            return 0
        return ceil(place.percent * BUCKETS / 100)

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the old world is in use any more."""
        return all(self.place(each).of_all is Stage.COMPLETE for each in Endpoint)


_NAMES: Final = frozenset(Endpoint.values)
