"""Checkout and upsells over HTTP: translate, one use case, translate back."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotAuthenticated, PermissionDenied

from funnel import exceptions as errors
from funnel.api import serializers
from funnel.checkout import process_checkout
from funnel.payments.card_testing.payers import payer_of
from funnel.upsell import process_upsell
from sessions_unified.api import problems
from sessions_unified.api.base import SessionAPIView
from sessions_unified.api.principals import Shopper
from sessions_unified.api.serializers import ProblemSchema

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request
    from rest_framework.response import Response

    from funnel.payments.idempotency import Reply
    from funnel.payments.payer import Payer

_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="One an operation, kept until its outcome is definite. The same key answers the "
    "same; with another body it is refused.",
)
_ANSWERS = {
    200: serializers.StateSchema,
    202: serializers.StateSchema,
    **dict.fromkeys((400, 401, 402, 404, 409, 410, 422, 429, 503), ProblemSchema),
}

# The site's errors → HTTP status, beside the core's table.
_STATUSES = {
    errors.IdempotencyKeyError: 400,
    errors.IdempotencyKeyReusedError: 422,
    errors.ChargeInFlightError: 409,
    errors.OutcomeUnsettledError: 503,
    errors.NothingToChargeError: 409,
    errors.OrderChangedError: 409,
    errors.NoStoredCardError: 409,
    errors.OfferClosedError: 409,
    errors.UnknownOfferError: 400,
    errors.ResolutionRefusedError: 409,
    errors.RefundRefusedError: 409,
    errors.TooManyDeclinesError: 429,
}


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Turn the site's errors into problems, and leave the rest to the core."""
    if isinstance(exc, errors.FunnelError):
        status = _STATUSES[type(exc)]
        comes_later = isinstance(exc, errors.ChargeInFlightError | errors.OutcomeUnsettledError)
        retry = {"Retry-After": "1"} if comes_later else {}
        if isinstance(exc, errors.TooManyDeclinesError):
            retry = {"Retry-After": str(exc.retry_after)}
        if isinstance(exc, errors.UnknownOfferError):
            return problems.field_problem(exc.code, "offer", str(exc))
        exc = problems.Problem(status, exc.code, str(exc), headers=retry)
    return problems.handle(exc, context)


def _payer(request: Request, values: dict[str, Any]) -> Payer:
    token, claimed = values.get("paymentToken"), values.get("cardFingerprint")
    return payer_of(request, payment_token=token, claimed=claimed)


class ChargeView(SessionAPIView):
    """What checkout and upsells share: a shopper's own session, and replies as stored."""

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Answer errors as problems."""
        return handle

    def shopper(self, request: Request) -> Shopper:
        """Return the shopper: nobody else pays.

        Raises:
            NotAuthenticated: nobody is signed in by a session's token.
            PermissionDenied: a service or staff member is.

        """
        principal = request.user
        if isinstance(principal, Shopper):
            return principal
        if getattr(principal, "is_authenticated", False):
            message = "Only the shopper pays: send the session's own token."
            raise PermissionDenied(message)
        raise NotAuthenticated

    @staticmethod
    def reply(reply: Reply) -> HttpResponse:
        """Return the reply, byte for byte."""
        media_type = (
            "application/json" if reply.status < HTTPStatus.BAD_REQUEST else problems.MEDIA_TYPE
        )
        response = HttpResponse(reply.body, status=reply.status, content_type=media_type)
        if reply.retry_after is not None:
            response["Retry-After"] = str(reply.retry_after)
        return response


class CheckoutView(ChargeView):
    """Pay for the order."""

    endpoint: ClassVar[str] = "checkout.process"

    @extend_schema(
        request=serializers.CheckoutSerializer,
        parameters=[_KEY],
        responses=_ANSWERS,
        summary="Pay for the order",
        description="200 paid; 402 declined, try another card with a new key; 202 the outcome is "
        "not known yet: ask again with the same key; 409 a charge is under way; 429 too many were "
        "declined, and nothing was sent. Order bumps are added to the order and charged with it; "
        "after a decline they stay in it.",
    )
    def post(self, request: Request) -> HttpResponse:
        """Charge the order."""
        shopper = self.shopper(request)
        key = request.META.get("HTTP_IDEMPOTENCY_KEY")
        values = self.valid(serializers.CheckoutSerializer, request)
        reply = process_checkout(
            self.manager(shopper),
            shopper.session_id,
            key=key,
            payment_token=values["paymentToken"],
            customer=values.get("customer"),
            bumps=values.get("bumps"),
            payer=_payer(request, values),
        )
        return self.reply(reply)


class UpsellView(ChargeView):
    """Answer an offer."""

    endpoint: ClassVar[str] = "upsell.process"

    @extend_schema(
        request=serializers.UpsellSerializer,
        parameters=[_KEY],
        responses=_ANSWERS,
        summary="Accept or decline an offer",
        description="Accepting charges the stored card, once. After a 402 the offer is still open: "
        "try again, with `paymentToken` to charge another card, or decline. A step ends when one "
        "of its offers is accepted or all that are open are declined; declining one may open "
        "another.",
    )
    def post(self, request: Request) -> HttpResponse:
        """Take the decision."""
        shopper = self.shopper(request)
        key = request.META.get("HTTP_IDEMPOTENCY_KEY")
        values = self.valid(serializers.UpsellSerializer, request)
        reply = process_upsell(
            self.manager(shopper),
            shopper.session_id,
            key=key,
            offer_id=values["offer"],
            decision=values["decision"],
            payment_token=values.get("paymentToken"),
            payer=_payer(request, values),
        )
        return self.reply(reply)
