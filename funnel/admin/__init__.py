"""The money in Django's admin: on a session's page, and in lists of its own.

Importing the core's admin registers it; its sessions and events are registered again with ours.
"""

from django.contrib import admin

from funnel.admin.attempts import ChargeAttemptAdmin
from funnel.admin.card_testing import CardTestingStopAdmin
from funnel.admin.events import FunnelEventAdmin
from funnel.admin.gateway_events import GatewayEventAdmin
from funnel.admin.hooks import HookDeliveryAdmin
from funnel.admin.idempotency import IdempotencyRecordAdmin
from funnel.admin.money import MoneyEntryAdmin
from funnel.admin.refunds import RefundAdmin
from funnel.admin.sandbox import SandboxChargeAdmin
from funnel.admin.sessions import FunnelSessionAdmin
from sessions_unified.models import SessionEvent, UnifiedSession

__all__ = [
    "CardTestingStopAdmin",
    "ChargeAttemptAdmin",
    "FunnelEventAdmin",
    "FunnelSessionAdmin",
    "GatewayEventAdmin",
    "HookDeliveryAdmin",
    "IdempotencyRecordAdmin",
    "MoneyEntryAdmin",
    "RefundAdmin",
    "SandboxChargeAdmin",
]

admin.site.site_header = admin.site.site_title = "Funnel"
admin.site.unregister([UnifiedSession, SessionEvent])
admin.site.register(UnifiedSession, FunnelSessionAdmin)
admin.site.register(SessionEvent, FunnelEventAdmin)
