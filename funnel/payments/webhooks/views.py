"""``POST /api/webhooks/nmi``: what NMI tells of its own accord."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.db import IntegrityError
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.response import Response

from funnel.payments import metrics
from funnel.payments.nmi.conf import get_nmi_conf
from funnel.payments.webhooks import facts, handling, signing
from sessions_unified.api import problems
from sessions_unified.api.base import SessionAPIView
from sessions_unified.api.serializers import ProblemSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rest_framework.renderers import BaseRenderer
    from rest_framework.request import Request

_GATEWAY: Final = "nmi"
_MAX_BYTES: Final = 64 * 1024
_KNOWN_TYPES: Final = frozenset(
    f"transaction.{kind}.{result}"
    for kind in ("sale", "auth", "capture", "void", "refund", "credit", "validate")
    for result in ("success", "failure", "unknown")
)


class NmiWebhookView(SessionAPIView):
    """Takes events whose raw body is signed; nobody else leaves a trace."""

    endpoint: ClassVar[str] = "webhooks"
    authentication_classes = ()  # type: ignore[assignment]  # nobody signs in here

    @extend_schema(
        auth=[],
        request={"application/json": OpenApiTypes.OBJECT},
        parameters=[
            OpenApiParameter(
                signing.HEADER,
                str,
                OpenApiParameter.HEADER,
                required=True,
                description="`t=…,s=…`: s is the hex HMAC-SHA256 of t, a dot and the raw body.",
            )
        ],
        responses={
            200: OpenApiTypes.OBJECT,
            **dict.fromkeys((400, 401, 404, 413, 503), ProblemSchema),
        },
        summary="What NMI tells",
        description="An event is stored before it is acted on, once an event id. 503: send it "
        "again. 404: no key is configured.",
    )
    def post(self, request: Request) -> Response:
        """Check, store, act."""
        event = self._event(request)
        kind = event.event_type if event.event_type in _KNOWN_TYPES else "other"
        try:
            result = _take(event)
        except IntegrityError as exc:
            # The same transaction or event was written a moment before: the next try sees it.
            _count(kind, "failed")
            raise _unavailable() from exc
        except Exception:
            _count(kind, "failed")
            raise
        _count(kind, result)
        return Response({"result": result})

    def _event(self, request: Request) -> facts.Event:
        body = self._body(request)
        header = request.META.get("HTTP_WEBHOOK_SIGNATURE", "")
        if not signing.is_signed(header, body, _keys()):
            _count("none", "unsigned")
            detail = "The signature does not fit the body. Sign the raw body with a current key."
            raise problems.Problem(401, "invalid_signature", detail)
        try:
            return facts.read(body)
        except facts.MalformedEventError as exc:
            _count("none", "malformed")
            raise problems.Problem(400, "malformed_event", facts.MALFORMED) from exc

    @staticmethod
    def _body(request: Request) -> bytes:
        """Return the raw body; what is too long is not even hashed."""
        body: bytes = request.read(_MAX_BYTES + 1)
        if len(body) > _MAX_BYTES:
            _count("none", "malformed")
            detail = f"Send at most {_MAX_BYTES} bytes."
            raise problems.Problem(413, "body_too_large", detail)
        return body

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Answer as if nothing were here where no key is configured.

        Raises:
            Http404: none is.
            MethodNotAllowed: it is no POST.

        """
        if not _keys():
            raise Http404
        if request.method not in {"POST", "OPTIONS"}:
            raise MethodNotAllowed(str(request.method))
        super().initial(request, *args, **kwargs)

    def perform_content_negotiation(
        self,
        request: Request,
        force: bool = False,
    ) -> tuple[BaseRenderer, str]:
        """Answer JSON, whatever is asked for: a gateway does not negotiate."""
        renderer = self.get_renderers()[0]
        return renderer, str(renderer.media_type)


def _take(event: facts.Event) -> str:
    row = handling.store(_GATEWAY, event)
    if row.handled_at is not None:
        return "duplicate"
    return "handled" if handling.handle(row) else "waiting"


def _keys() -> Sequence[str]:
    return [key for key in get_nmi_conf().WEBHOOK_KEYS if key]


def _unavailable() -> problems.Problem:
    headers = {"Retry-After": str(problems.RETRY_AFTER_SECONDS)}
    detail = "The event is not settled yet. Send it again."
    return problems.Problem(503, "event_unsettled", detail, headers=headers)


def _count(event_type: str, result: str) -> None:
    metrics.WEBHOOKS.labels(event_type, result).inc()
