"""What every page has in common: never stored, and an answer for whatever goes wrong."""

from __future__ import annotations

import logging
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec

from django.db import InterfaceError, OperationalError
from django.shortcuts import render
from django.urls import reverse

from funnel.exceptions import FunnelError
from funnel.flow import START_AGAIN
from funnel.storefront.card_policy import allow_card_form
from funnel.storefront.posted import refuse_card_data
from funnel.storefront.visits import open_visit, see_other
from sessions_unified.cookies import clear_cookie
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    InvalidTransitionError,
    SealedValueError,
    SessionExpiredError,
    SessionNotFoundError,
    VersionConflictError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

    from sessions_unified.manager import UnifiedSessionManager

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: Final = 5
_UNAVAILABLE: Final = 503
# A connection that breaks while a transaction begins comes as Django's own error.
DATABASE_ERRORS: Final = (DatabaseUnavailableError, OperationalError, InterfaceError)

# The shopper is not where the page thought: in another tab, or by a click before this one.
_MOVED_ON: Final = (FunnelError, InvalidTransitionError, VersionConflictError)

Args = ParamSpec("Args")


def page(
    view: Callable[Concatenate[HttpRequest, Args], HttpResponse],
) -> Callable[Concatenate[HttpRequest, Args], HttpResponse]:
    """Make a view a page of the storefront.

    A use case that refuses because the shopper is elsewhere by now leads there. With the database
    down the answer is a 503 in plain words.
    """

    @wraps(view)
    def answer(request: HttpRequest, /, *args: Args.args, **kwargs: Args.kwargs) -> HttpResponse:
        refuse_card_data(request)
        try:
            try:
                response = view(request, *args, **kwargs)
            except _MOVED_ON:
                response = open_visit(request).redirect()
        except SessionExpiredError:
            response = see_other(START_AGAIN)
        except SessionNotFoundError:
            response = see_other(reverse("storefront:shop"))
            clear_cookie(response)
        except DATABASE_ERRORS as exc:
            logger.warning("A page could not be served: %s", type(exc).__name__)
            response = unavailable(request)
        except SealedValueError as exc:
            logger.error("A page could not be served: %s", exc)  # noqa: TRY400  (it says all)
            response = unavailable(request)
        response["Cache-Control"] = "no-store"
        return response

    return answer


def show(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    manager: UnifiedSessionManager | None = None,
    status: int = 200,
    refresh_seconds: int | None = None,
) -> HttpResponse:
    """Render a page; say when it is degraded, and when the browser should ask again."""
    response = render(request, f"storefront/{template}.html", context, status=status)
    if manager is not None and manager.degraded:
        response["Session-Degraded"] = ", ".join(sorted(manager.degraded))
    if refresh_seconds is not None:
        response["Refresh"] = str(refresh_seconds)
    return allow_card_form(request, response, context)


def unavailable(request: HttpRequest, *, repeats: bool = False) -> HttpResponse:
    """Return 503: nobody knows here whether a charge went out, so the page does not say.

    ``repeats``: trying again sends the same form with the same idempotency key.
    """
    url = request.path if request.resolver_match else reverse("storefront:shop")
    sent = request.POST.dict() if repeats else {}
    sent.pop("csrfmiddlewaretoken", None)
    context = {"again": url, "sent": sent}
    response = show(request, "unavailable", context, status=_UNAVAILABLE)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
