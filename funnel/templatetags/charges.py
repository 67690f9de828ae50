"""What on the admin's first page calls for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import template

from funnel.payments.models import ChargeAttempt

if TYPE_CHECKING:
    from django.template import Context

register = template.Library()


@register.inclusion_tag("admin/funnel/waiting_charges.html", takes_context=True)
def waiting_charges(context: Context) -> dict[str, Any]:
    """Show how many charges wait for a decision, to those who may see charges."""
    if not context["request"].user.has_perm("funnel.view_chargeattempt"):
        return {"number": 0}
    waiting = ChargeAttempt.objects.filter(state=ChargeAttempt.State.NEEDS_REVIEW)
    return {"number": waiting.count()}
