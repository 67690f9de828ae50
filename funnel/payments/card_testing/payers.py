"""Who pays, out of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from funnel.conf import get_conf
from funnel.payments.card_testing.addresses import client_address
from funnel.payments.gateway import get_gateway
from funnel.payments.payer import Payer

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request


def payer_of(
    request: HttpRequest | Request, *, payment_token: str | None = None, claimed: str | None = None
) -> Payer:
    """Return who pays; ``claimed`` is what the browser says is the card's fingerprint.

    Without ``payment_token`` the stored card is charged, which has been approved before: it has no
    fingerprint.
    """
    address = client_address(request.META, trusted_proxies=get_conf().TRUSTED_PROXIES)
    if payment_token is None:
        return Payer(address=address)
    return Payer(
        address=address, fingerprint=get_gateway().fingerprint(payment_token, claimed or None)
    )
