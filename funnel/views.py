"""The last-resort error pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import render

from sessions_unified.api.problems import problem_response

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def _error(request: HttpRequest, status: int, code: str, title: str, detail: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problem_response(status, code, detail)
    context = {"title": title, "detail": detail}
    return render(request, "storefront/error.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a malformed request."""
    return _error(request, 400, "bad_request", "Bad request", "This request is malformed.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that is not allowed."""
    return _error(request, 403, "forbidden", "Not allowed", "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request for nothing we have."""
    return _error(request, 404, "not_found", "Not found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a failure that nobody foresaw, without its internals."""
    detail = "Something went wrong here. It has been logged. Nothing was charged twice."
    return _error(request, 500, "internal_error", "Something went wrong", detail)
