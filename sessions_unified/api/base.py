"""What every view of the API shares; self-contained, so that a site's DRF settings stay its own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.http import UnreadablePostError
from rest_framework.response import Response
from rest_framework.views import APIView

from sessions_unified import get_manager
from sessions_unified.api import problems
from sessions_unified.api.authentication import (
    KeyAuthentication,
    StaffAuthentication,
    TokenAuthentication,
)
from sessions_unified.api.parsers import StrictJSONParser
from sessions_unified.api.preconditions import etag
from sessions_unified.api.principals import Principal, Service, Staff
from sessions_unified.api.renderers import WireJSONRenderer
from sessions_unified.masking import mask_session
from sessions_unified.wire import to_wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request
    from rest_framework.serializers import Serializer

    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot


_DRAIN_CHUNKS: Final = 256
_CHUNK_BYTES: Final = 64 * 1024


def _drain(request: Request) -> None:
    """Read what is left of the body, up to 16 MB.

    Closing a connection on bytes unread resets it, and the client never hears the answer.
    """
    with suppress(UnreadablePostError):
        for _ in range(_DRAIN_CHUNKS):
            if not request._request.read(_CHUNK_BYTES):
                return


class SessionAPIView(APIView):
    """Strict JSON in, JSON or problem+json out, three kinds of callers."""

    endpoint: ClassVar[str] = "session.detail"
    authentication_classes = (KeyAuthentication, TokenAuthentication, StaffAuthentication)
    permission_classes = ()
    throttle_classes = ()
    parser_classes = (StrictJSONParser,)
    renderer_classes = (WireJSONRenderer,)
    versioning_class = None

    _manager: UnifiedSessionManager | None = None

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Answer errors as problems."""
        return problems.handle

    def get_authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for; without it DRF answers 403."""
        return 'Bearer realm="session", Api-Key realm="session"'

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse a body without a length: WSGI would hide it, and the answer would ignore it."""
        super().initial(request, *args, **kwargs)
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            detail = "Send the body with a Content-Length, not in chunks."
            raise problems.Problem(411, "length_required", detail)

    def manager(self, principal: Principal | None = None) -> UnifiedSessionManager:
        """Return this request's manager, acting for ``principal``."""
        if self._manager is None:
            request = self.request._request
            self._manager = get_manager(self.endpoint, request)
        if principal is not None:
            self._manager.actor = principal.actor
        return self._manager

    def valid(self, serializer_class: type[Serializer[Any]], request: Request) -> dict[str, Any]:
        """Return the body's values, or raise what becomes a 400 that names each bad field."""
        serializer = serializer_class(data=request.data)
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        return values

    def answer(
        self, session: SessionSnapshot, principal: Principal | None = None, *, status: int = 200
    ) -> Response:
        """Return the session as this caller may see it, with its ETag."""
        data = to_wire(session, shows_internal=isinstance(principal, Service | Staff))
        if isinstance(principal, Staff) and not principal.sees_pii:
            data = mask_session(data)
        return Response(data, status=status, headers={"ETag": etag(session)})

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """Keep answers out of shared caches; say when they are degraded."""
        _drain(request)
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        if self._manager is not None and self._manager.degraded:
            final["Session-Degraded"] = ", ".join(sorted(self._manager.degraded))
        return final
