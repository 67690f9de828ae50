"""Where an unsafe request comes from: cookies ride along with other sites' requests too."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from rest_framework.exceptions import PermissionDenied

if TYPE_CHECKING:
    from rest_framework.request import Request

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class CrossOriginError(PermissionDenied):
    """The request comes from another site."""

    default_detail = "This request comes from another origin. Send it from the shop's own pages."
    default_code = "cross_origin"


def refuse_cross_origin(request: Request) -> None:
    """Refuse an unsafe request from another origin, by Origin and else by Sec-Fetch-Site.

    A client that sends neither is no browser, and no other site can make it send our cookie.
    ``CSRF_TRUSTED_ORIGINS`` are ours too.

    Raises:
        CrossOriginError: it is from elsewhere.

    """
    if request.method in _SAFE:
        return
    origin = request.META.get("HTTP_ORIGIN")
    if origin is not None:
        if not _is_ours(request, origin):
            raise CrossOriginError
        return
    if request.META.get("HTTP_SEC_FETCH_SITE", "same-origin") not in {"same-origin", "none"}:
        raise CrossOriginError


def _is_ours(request: Request, origin: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if (parts.scheme, parts.netloc) == (request.scheme, request.get_host()):
        return True
    return origin in settings.CSRF_TRUSTED_ORIGINS
