"""System checks of the site."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

from funnel.conf import get_conf
from funnel.payments.gateway import PaymentGateway, get_gateway


@register("funnel")
def check_gateway(**_: Any) -> list[CheckMessage]:
    """Validate the payment gateway and the time it is given."""
    conf = get_conf()
    hint = "Name a subclass of funnel.payments.gateway.PaymentGateway in FUNNEL['GATEWAY']."
    try:
        gateway = import_string(conf.GATEWAY)
    except ImportError as exc:
        return [Error(f"GATEWAY cannot be imported: {exc}", hint=hint, id="funnel.E001")]
    if not (isinstance(gateway, type) and issubclass(gateway, PaymentGateway)):
        return [Error(f"GATEWAY {conf.GATEWAY!r} is no gateway.", hint=hint, id="funnel.E001")]
    if get_gateway().timeout_seconds >= conf.LEASE_SECONDS:
        return [
            Error(
                "A charge's lease ends before the gateway's timeout.",
                hint="Raise FUNNEL['LEASE_SECONDS'].",
                id="funnel.E002",
            )
        ]
    return []


@register(Tags.security, deploy=True)
def check_production(**_: Any) -> list[CheckMessage]:
    """Find what is fine in a demo and not in a shop."""
    if get_gateway().takes_money:
        return []
    return [
        CheckWarning(
            "The payment gateway is a sandbox: no money is taken.",
            hint="Set PAYMENT_GATEWAY to a real gateway.",
            id="funnel.W001",
        )
    ]
