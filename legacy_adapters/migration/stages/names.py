"""The endpoints, the stages in their order, the two sides, and which side is which at a stage."""

from __future__ import annotations

from typing import Final

from django.db import models


class Endpoint(models.TextChoices):
    """What is moved one by one."""

    CREATE = "session.create"
    DETAIL = "session.detail"
    CHECKOUT = "checkout.process"
    UPSELL = "upsell.process"
    SYNC = "client.sync"


class Side(models.TextChoices):
    """The two sides."""

    LEGACY = "legacy"
    UNIFIED = "unified"


class Stage(models.TextChoices):
    """The stages, in the order in which an endpoint goes through them."""

    OFF = "off"
    DUAL_WRITE = "dual_write"
    SHADOW = "shadow"
    LIVE = "live"
    RAMP_DOWN = "ramp_down"
    COMPLETE = "complete"

    @property
    def rank(self) -> int:
        """0 for `off`."""
        return _RANKS[self]

    @property
    def reads(self) -> Side:
        """The side that answers the endpoint's reads."""
        return Side.UNIFIED if self.rank >= Stage.LIVE.rank else Side.LEGACY

    @property
    def compares(self) -> bool:
        """Whether reads are compared with the other side, off the request's path."""
        return self in {Stage.SHADOW, Stage.LIVE}

    @property
    def writes_legacy(self) -> bool:
        """Whether the endpoint still writes the legacy stores."""
        return self is not Stage.COMPLETE

    @property
    def writes_unified(self) -> bool:
        """Whether the endpoint keeps the unified side up."""
        return self is not Stage.OFF

    @property
    def before(self) -> Stage:
        """The stage before; of the first, itself."""
        return _ORDER[max(self.rank - 1, 0)]

    @property
    def after(self) -> Stage:
        """The stage after; of the last, itself."""
        return _ORDER[min(self.rank + 1, len(_ORDER) - 1)]


_ORDER: Final = tuple(Stage)
_RANKS: Final = {stage: rank for rank, stage in enumerate(_ORDER)}
