"""The migration as a whole, as the admin's index needs a model to show a page for it."""

from __future__ import annotations

from legacy_adapters.models.stages import EndpointStage


class Migration(EndpointStage):
    """All endpoints' stages: one page, the control room, where a list of rows would be."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "control room"
        verbose_name_plural = "control room"
