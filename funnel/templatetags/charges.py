"""What on the admin's first page calls for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template

from funnel.hooks.models import HookDelivery
from funnel.payments.models import ChargeAttempt
from funnel.payments.refunds.models import Refund

if TYPE_CHECKING:
    from django.template import Context

register = template.Library()


@register.inclusion_tag("admin/funnel/waiting_charges.html", takes_context=True)
def waiting_charges(context: Context) -> dict[str, Any]:
    """Show how much waits for a person, to those who may see it."""
    user = context["request"].user
    charges = ChargeAttempt.objects.filter(state=ChargeAttempt.State.NEEDS_REVIEW)
    refunds = Refund.objects.filter(state=Refund.State.NEEDS_REVIEW)
    failed = HookDelivery.objects.filter(state=HookDelivery.State.FAILED)
    return {
        "number": charges.count() if user.has_perm("funnel.view_chargeattempt") else 0,
        "refunds": refunds.count() if user.has_perm("funnel.view_refund") else 0,
        "hooks": failed.count() if user.has_perm("funnel.view_hookdelivery") else 0,
    }
