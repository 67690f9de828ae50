"""``POST /api/session/sync``: a browser sends its localStorage and hears what is true."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django.http import Http404
from django.utils.module_loading import import_string
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from legacy_adapters.api.parsers import RawParser
from legacy_adapters.api.problems import legacy_unavailable
from legacy_adapters.api.serializers import BLOB, SyncSchema
from legacy_adapters.api.throttles import SyncThrottle
from legacy_adapters.conf import get_adapter, get_sources
from legacy_adapters.exceptions import SourceUnavailableError, TooManyEntriesError
from legacy_adapters.local_storage import LocalStorageAdapter
from legacy_adapters.local_storage.blobs import parse
from legacy_adapters.local_storage.store import attach
from legacy_adapters.local_storage.syncing import Sync
from sessions_unified.api.authentication import KeyAuthentication, TokenAuthentication
from sessions_unified.api.base import SessionAPIView
from sessions_unified.api.origin import refuse_cross_origin
from sessions_unified.api.principals import Service, Shopper
from sessions_unified.api.problems import Problem
from sessions_unified.api.serializers import ProblemSchema
from sessions_unified.wire import to_wire

if TYPE_CHECKING:
    from rest_framework.request import Request


# Either, or none. It takes OpenAPI's objects too, whatever its types say.
_AUTH: Final[Any] = [{"sessionCookie": []}, {"sessionToken": []}, {}]


class SyncView(SessionAPIView):
    """One browser's sessions, brought together with ours."""

    endpoint: ClassVar[str] = "client.sync"
    # Staff are shoppers here: a browser's storage says nothing about who is signed in.
    authentication_classes = (KeyAuthentication, TokenAuthentication)  # type: ignore[assignment]
    parser_classes = (RawParser,)  # type: ignore[assignment]
    throttle_classes = (SyncThrottle,)  # type: ignore[assignment]

    @cached_property
    def adapter(self) -> LocalStorageAdapter:
        """The site's adapter of browsers' storages, for this request.

        Raises:
            Http404: the site has none.

        """
        request = self.request._request  # noqa: SLF001  (DRF's own idiom for Django's request)
        for name, source in get_sources().items():
            if issubclass(import_string(source.adapter), LocalStorageAdapter):
                return cast("LocalStorageAdapter", get_adapter(name, request))
        raise Http404

    @extend_schema(
        request={"application/json": BLOB},
        auth=_AUTH,
        responses={200: SyncSchema, **dict.fromkeys((401, 403, 413, 429, 503), ProblemSchema)},
        summary="Synchronise a browser's old sessions",
        description="The body is what the browser's localStorage holds under "
        "the old pages' key, as it is: at most 256 KiB, 32 levels and 200 sessions. None of it is "
        "believed. Answers with the session that the caller's token opens, and with what the "
        "browser should hold (`keep`) and forget (`drop`); it leaves everything else as it is. "
        "Without a session it may begin a new one with `startOver`.",
    )
    def post(self, request: Request) -> Response:
        """Answer with what this browser may see, and what it should hold."""
        shopper = self._shopper(request)
        try:
            blob = parse(dict(request.data).get("raw", b""))
        except TooManyEntriesError as exc:
            raise Problem(413, "too_many_entries", str(exc)) from exc
        sync = Sync(
            adapter=self.adapter,
            manager=self.manager(shopper),
            store=attach(request._request, blob),  # noqa: SLF001  (as above)
        )
        try:
            sync.run(None if shopper is None else shopper.session_id)
        except SourceUnavailableError as exc:
            raise legacy_unavailable() from exc
        if sync.own is not None:
            self.manager().touch_session(sync.own.id)
        return Response(_answer(sync))

    @staticmethod
    def _shopper(request: Request) -> Shopper | None:
        """Return whose browser it is; None: it has no session of ours."""
        if isinstance(request.user, Shopper):
            return request.user
        if isinstance(request.user, Service):
            detail = "Only browsers synchronise. Services read GET /api/session/{id}."
            raise Problem(403, "browsers_only", detail)
        refuse_cross_origin(request)
        return None


def _answer(sync: Sync) -> dict[str, object]:
    own, lines = sync.own, sync.start_over
    return {
        "key": sync.adapter.key,
        "sessions": {} if own is None else {own.id: to_wire(own)},
        "keep": sync.store.keep,
        "drop": list(sync.store.drop),
        "startOver": None if lines is None else {"products": lines},
        "problems": sync.problems,
    }
