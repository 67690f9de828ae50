"""System checks of the site."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

from funnel.catalog import OFFERS
from funnel.conf import get_conf
from funnel.hooks.checks import check_hooks
from funnel.offer_rules import offer_mistakes
from funnel.payments.card_testing.checks import check_limits, check_proxies
from funnel.payments.gateway import PaymentGateway, get_gateway

if TYPE_CHECKING:
    from funnel.payments.nmi.conf import NmiConf

register("funnel")(check_hooks)
register("funnel")(check_limits)
register(Tags.security, deploy=True)(check_proxies)


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


@register("funnel")
def check_nmi(**_: Any) -> list[CheckMessage]:
    """Validate what the `nmi` gateway needs, where it is the one chosen."""
    nmi = _nmi_conf()
    if nmi is None:
        return []
    wrong: list[CheckMessage] = []
    if not nmi.SECURITY_KEY:
        hint = "Set NMI_SECURITY_KEY."
        wrong.append(Error("NMI's security key is missing.", hint=hint, id="funnel.E010"))
    if not nmi.is_private:
        text = "NMI_URL is not an HTTPS URL, so the security key would be readable on its way."
        hint = "Use https://; plain HTTP is for a simulator on this machine."
        wrong.append(Error(text, hint=hint, id="funnel.E011"))
    if not 0 < nmi.TIMEOUT_SECONDS < math.inf:
        text = "NMI_TIMEOUT_SECONDS is no time in which NMI could answer."
        wrong.append(Error(text, hint="Use 25, for example.", id="funnel.E012"))
    return wrong


@register(Tags.security, deploy=True)
def check_nmi_webhooks(**_: Any) -> list[CheckMessage]:
    """Find an `nmi` gateway that cannot tell us anything by itself."""
    nmi = _nmi_conf()
    if nmi is None or any(nmi.WEBHOOK_KEYS):
        return []
    text = "NMI's webhooks are refused, because no key is set to check their signatures with."
    hint = "Set NMI_WEBHOOK_KEYS to the signing key that NMI shows beside the webhook."
    return [CheckWarning(text, hint=hint, id="funnel.W010")]


@register(Tags.security, deploy=True)
def check_nmi_card_form(**_: Any) -> list[CheckMessage]:
    """Find an `nmi` gateway whose checkout has nowhere to type a card."""
    nmi = _nmi_conf()
    if nmi is None or nmi.TOKENIZATION_KEY:
        return []
    text = "NMI's tokenization key is missing: shoppers cannot type a card into the checkout."
    hint = "Set NMI_TOKENIZATION_KEY to the public key that NMI shows under its security keys."
    return [CheckWarning(text, hint=hint, id="funnel.W011")]


def _nmi_conf() -> NmiConf | None:
    """Return the settings of the `nmi` gateway; None if another one is chosen, or none (E001)."""
    try:
        gateway = get_gateway()
    except (ImportError, TypeError):
        return None
    if getattr(gateway, "name", None) != "nmi":
        return None
    # Here, because it brings an HTTP client along, which other gateways may not need.
    from funnel.payments.nmi.conf import get_nmi_conf  # noqa: PLC0415

    return get_nmi_conf()


@register("funnel")
def check_offers(**_: Any) -> list[CheckMessage]:
    """Validate the table of offers."""
    hint = "Correct OFFERS in funnel/catalog.py."
    return [Error(text, hint=hint, id="funnel.E020") for text in offer_mistakes(OFFERS)]
