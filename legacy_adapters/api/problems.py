"""The answer while a legacy store does not give one: the same from every door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessions_unified.api.problems import RETRY_AFTER_SECONDS, Problem, problem_response

if TYPE_CHECKING:
    from django.http import HttpResponse

_CODE: Final = "legacy_unavailable"
_DETAIL: Final = "The old shop's sessions cannot be read now. Nothing is lost. Try again later."
_HEADERS: Final = {"Retry-After": str(RETRY_AFTER_SECONDS)}


def legacy_unavailable() -> Problem:
    """Return the problem, for an API view to raise."""
    return Problem(503, _CODE, _DETAIL, headers=_HEADERS)


def legacy_unavailable_response() -> HttpResponse:
    """Return it as a response, for a middleware."""
    response = problem_response(503, _CODE, _DETAIL)
    for name, value in _HEADERS.items():
        response[name] = value
    return response
