"""Requests as Django reads them, but in UTF-8 alone, whatever charset a client names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import BadRequest
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.utils.http import parse_header_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

_UTF_8: Final = frozenset({"utf-8", "utf8"})
_FORMS: Final = frozenset({"multipart/form-data", "application/x-www-form-urlencoded"})


class Utf8Request(HttpRequest):
    """Refuses forms in another charset.

    Django decodes by any of Python's codecs that the ``Content-Type`` names: some are for no text,
    and fail before any middleware runs; others yield halves of surrogate pairs, which no store
    takes.
    """

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        kind, parameters = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        self.content_type, self.content_params = kind, parameters

    def _load_post_and_files(self) -> None:
        charset = (self.content_params or {}).get("charset", "utf-8").lower()
        if self.content_type in _FORMS and charset not in _UTF_8:
            self._mark_post_parse_error()  # type: ignore[attr-defined]  # not in the stubs
            message = "Send forms in UTF-8."
            raise BadRequest(message)
        super()._load_post_and_files()


class Utf8WSGIRequest(Utf8Request, WSGIRequest):
    """One under WSGI."""


class Utf8ASGIRequest(Utf8Request, ASGIRequest):
    """One under ASGI."""
