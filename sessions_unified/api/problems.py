"""Errors as RFC 9457 problem+json with a stable ``code``; one table from errors to statuses."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework import status
from rest_framework.exceptions import APIException, ErrorDetail, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

from sessions_unified import exceptions as errors
from sessions_unified.api.renderers import WireJSONRenderer

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2
_LATER: Final = {"Retry-After": str(RETRY_AFTER_SECONDS)}
_UNOPENED: Final = "This session cannot be read now. Nothing of it is lost. Try again later."

# Domain error → HTTP status; the first match in this order counts, so subclasses come first.
STATUSES: Final[dict[type[errors.SessionsUnifiedError], int]] = {
    errors.SessionNotFoundError: 404,
    errors.SessionExpiredError: 410,
    errors.VersionConflictError: 412,
    errors.InvalidTransitionError: 409,
    errors.SessionHeldError: 409,
    errors.PricingError: 400,
    errors.InvalidChangeError: 400,
    errors.InvalidTokenError: 401,
    errors.InvalidLinkError: 404,
    errors.TierUnavailableError: 503,
    errors.SealedValueError: 503,
}


class Problem(APIException):
    """An error of the API itself: a status, a stable code, a sentence that says what to do."""

    def __init__(
        self, http_status: int, code: str, detail: str, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail, code)
        self.status_code = http_status
        self.headers = headers or {}


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Turn any exception of a view into a problem; the setting of every view here.

    An error that nobody foresaw is logged with its traceback and answered without internals.
    """
    if isinstance(exc, OperationalError | InterfaceError):
        exc = errors.DatabaseUnavailableError()
    if isinstance(exc, errors.SealedValueError):
        logger.error("A session cannot be opened: %s", exc)
        return _problem(503, exc.code, _UNOPENED, headers=_LATER)
    if isinstance(exc, errors.SessionsUnifiedError):
        return _domain_problem(exc)
    response = exception_handler(exc, context)
    if response is not None and isinstance(exc, APIException | Http404):
        return _api_problem(exc, response)
    if response is not None:
        return _problem(response.status_code, "permission_denied", "You may not do this.")
    if isinstance(exc, BadRequest | SuspiciousOperation):
        return _problem(400, "bad_request", "The request is malformed.")
    logger.error("An API view failed", exc_info=exc)
    return _problem(500, "internal_error", "Something went wrong here. It has been logged.")


def _domain_problem(exc: errors.SessionsUnifiedError) -> Response:
    http_status = next((code for kind, code in STATUSES.items() if isinstance(exc, kind)), 400)
    fields = []
    if isinstance(exc, errors.InvalidChangeError) and exc.field:
        fields = [{"field": exc.field, "message": str(exc)}]
    headers = _LATER if http_status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return _problem(http_status, exc.code, str(exc), fields=fields, headers=headers)


def _api_problem(exc: APIException | Http404, response: Response) -> Response:
    headers = {
        name: response[name]
        for name in ("WWW-Authenticate", "Retry-After", "Allow")
        if name in response
    }
    if isinstance(exc, Http404):
        return _problem(404, "not_found", "There is nothing here.", headers=headers)
    if isinstance(exc, Problem):
        headers |= exc.headers
    if isinstance(exc, ValidationError):
        fields = list(flatten(exc.detail))
        named = "; ".join(f"{each['field'] or 'body'}: {each['message']}" for each in fields[:5])
        return _problem(400, "invalid_request", named, fields=fields, headers=headers)
    detail = exc.detail
    code = detail.code if isinstance(detail, ErrorDetail) else exc.default_code
    return _problem(exc.status_code, code or "error", str(detail), headers=headers)


def flatten(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Yield ``{field, message}`` of DRF's nested error details, fields as ``products[0].id``."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            if name == "non_field_errors":
                deeper = path
            elif isinstance(name, int):
                deeper = f"{path}[{name}]"
            else:
                deeper = f"{path}.{name}" if path else str(name)
            yield from flatten(inner, deeper)
    elif isinstance(detail, list):
        for position, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from flatten(inner, f"{path}[{position}]" if nested else path)
    else:
        yield {"field": path, "message": str(detail)}


def _problem(
    http_status: int,
    code: str,
    detail: str,
    *,
    fields: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    return Response(
        body(http_status, code, detail, fields=fields),
        status=http_status,
        headers=headers,
        content_type=MEDIA_TYPE,
    )


def field_problem(code: str, field: str, message: str) -> Response:
    """Return a 400 about one field of the body."""
    return _problem(400, code, f"{field}: {message}", fields=[{"field": field, "message": message}])


def body(
    http_status: int, code: str, detail: str, *, fields: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Return the members of a problem (RFC 9457, section 3.1) and ours: ``code``, ``errors``."""
    title = status_title(http_status)
    problem = {
        "type": "about:blank",
        "title": title,
        "status": http_status,
        "detail": detail,
        "code": code,
    }
    return problem | ({"errors": fields} if fields else {})


def status_title(http_status: int) -> str:
    """Return the reason phrase of a status."""
    return HTTPStatus(http_status).phrase


def problem_response(http_status: int, code: str, detail: str) -> HttpResponse:
    """Return a problem outside of DRF: for Django's own error handlers."""
    content = WireJSONRenderer().render(body(http_status, code, detail))
    return HttpResponse(content, status=http_status, content_type=MEDIA_TYPE)


__all__ = ["MEDIA_TYPE", "STATUSES", "Problem", "flatten", "handle", "problem_response", "status"]
