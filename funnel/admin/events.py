"""The event log with the kinds that the shop writes."""

from __future__ import annotations

from sessions_unified import admin as core


class FunnelEventAdmin(core.SessionEventAdmin):
    """The event log, with the kinds that charges write."""

    kinds = (
        *core.SessionEventAdmin.kinds,
        *("charge_started", "charge_succeeded", "charge_declined", "charge_unknown"),
        *("charge_needs_review", "charge_surplus", "charge_voided", "charge_refunded"),
        "charge_resolved",
        *("upsell_started", "upsell_succeeded", "upsell_declined", "upsell_charge_declined"),
    )
