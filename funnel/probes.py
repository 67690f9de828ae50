"""What machines ask of a process: ``/livez``, ``/readyz`` and ``/metrics``.

Answered before everything else: a probe asks a pod by its address, over plain HTTP, and its
answers are not worth a line of the log each.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

import msgspec
from django.conf import settings
from django.http import HttpResponse, HttpResponseNotAllowed

from sessions_unified.monitoring.exposition import CONTENT_TYPE, exposition
from sessions_unified.monitoring.readiness import readiness

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

_json = msgspec.json.Encoder()


class ProbeMiddleware:
    """Answers the probes; everything else goes on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or pass the request on."""
        probe = _PROBES.get(request.path_info)
        if probe is None:
            return self._get_response(request)
        if request.method not in _METHODS:
            return HttpResponseNotAllowed(_METHODS)
        response = probe(request)
        if request.method == "HEAD":
            response.headers["Content-Length"] = str(len(response.content))
            response.content = b""
        return response


def livez(request: HttpRequest) -> HttpResponse:
    """Answer that this process serves; asks nothing of any dependency (promise R46)."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if shoppers can be sent here, degraded or not; else 503."""
    found = readiness()
    return HttpResponse(
        _json.encode(found),
        status=200 if found.is_ready else 503,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer Prometheus, who gives ``METRICS_TOKEN``; for everybody else there is nothing here."""
    if not may_scrape(request.headers.get("Authorization", "")):
        return HttpResponse("not found\n", status=404, content_type="text/plain")
    return HttpResponse(exposition(), content_type=CONTENT_TYPE)


def may_scrape(given: str) -> bool:
    """Tell whether an ``Authorization`` header opens the metrics. Without a token: on a laptop."""
    token: str = settings.METRICS_TOKEN
    if not token:
        return bool(settings.INSECURE_HTTP)
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


_METHODS: Final = ("GET", "HEAD")
_PROBES: Final[dict[str, Callable[[HttpRequest], HttpResponse]]] = {
    "/livez": livez,
    "/readyz": readyz,
    "/metrics": metrics,
}
