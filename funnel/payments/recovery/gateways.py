"""The gateway that an attempt went to, which need not be the one that takes the money today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.module_loading import import_string

from funnel.conf import get_conf
from funnel.payments.gateway import get_gateway

if TYPE_CHECKING:
    from funnel.payments.gateway import PaymentGateway

_SANDBOX: Final = "funnel.payments.sandbox.SandboxGateway"
_NMI: Final = "funnel.payments.nmi.NmiGateway"


def gateway_named(name: str) -> PaymentGateway | None:
    """Return the gateway of this name, if it can be asked here; None: it is not configured."""
    chosen = get_gateway()
    if chosen.name == name:
        return chosen
    path = _configured().get(name)
    if path is None:
        return None
    gateway_class: type[PaymentGateway] = import_string(path)
    return gateway_class()


def _configured() -> dict[str, str]:
    """Return name → dotted path of the gateways that have what they need."""
    paths = {"sandbox": _SANDBOX}
    if get_conf().NMI.get("SECURITY_KEY"):
        paths["nmi"] = _NMI
    return paths
