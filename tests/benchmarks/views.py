"""The bare views that the API is measured against."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from django.conf import settings
from django_redis import get_redis_connection
from joserfc import jwe
from joserfc.jwk import OctKey
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from sessions_unified.conf import get_conf
from sessions_unified.tokens import decode_key
from sessions_unified.wire import to_wire

if TYPE_CHECKING:
    from rest_framework.request import Request


def wire_key(session_id: str) -> str:
    """Return the Redis key of the session's JSON."""
    return f"peer:wire:{session_id}"


@cache
def _answer(session_id: str) -> dict[str, Any]:
    """Return the same JSON as the API, made once."""
    from sessions_unified import get_manager

    wire = to_wire(get_manager().get_session(session_id, fresh=True))
    encoded = msgspec.json.Encoder(decimal_format="number").encode(wire)
    answer: dict[str, Any] = json.loads(encoded)
    return answer


@cache
def _key() -> OctKey:
    (text,) = settings.SESSIONS_UNIFIED["TOKEN_KEYS"].values()
    return OctKey.import_key(decode_key(text))


class BareView(APIView):
    """Answers what it has at hand."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    first: ClassVar[str | None] = None

    def get(self, request: Request, session_id: str) -> Response:
        """Answer one session's JSON, always the same."""
        if BareView.first is None:
            BareView.first = session_id
        return Response(_answer(BareView.first))


class OneGetView(APIView):
    """Opens the token and does one GET."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer,)

    def get(self, request: Request, session_id: str) -> Response:
        """Answer the session's JSON from Redis."""
        token = request.COOKIES[get_conf().COOKIE_NAME]
        opened = jwe.decrypt_compact(token, _key(), algorithms=["dir", "A256GCM"])
        claims = json.loads(opened.plaintext or b"")
        found = get_redis_connection("default").get(wire_key(claims["sub"]))
        return Response(json.loads(found))
