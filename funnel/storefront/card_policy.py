"""The content security policy of pages with a card form: the gateway's script and its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from csp.decorators import csp_update

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest, HttpResponse

_DIRECTIVES: Final = ("script-src", "frame-src", "connect-src")


def allow_card_form(
    request: HttpRequest, response: HttpResponse, context: Mapping[str, Any]
) -> HttpResponse:
    """Return the response, which may load from where the gateway's card form does.

    That is the ``collect_url`` of `PaymentGateway.card_context`; a page without one stays as it is.
    """
    url = urlsplit(context.get("collect_url", ""))
    if not url.netloc:
        return response
    sources = ["'self'", f"{url.scheme}://{url.netloc}"]
    # The decorator marks the response that it is given.
    csp_update({directive: list(sources) for directive in _DIRECTIVES})(lambda _: response)(request)
    return response
