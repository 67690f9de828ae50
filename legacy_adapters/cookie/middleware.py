"""A shopper whom only the old cookie knows goes on: it earns our token. And it is written here."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.deprecation import MiddlewareMixin

from legacy_adapters.api.problems import legacy_unavailable_response
from legacy_adapters.conf import get_adapter, get_sources
from legacy_adapters.cookie import store, writing
from legacy_adapters.cookie.adapter import CookieAdapter
from legacy_adapters.cookie.earning import earn_token
from legacy_adapters.migration.unseen import note_brought
from sessions_unified.conf import get_conf
from sessions_unified.cookies import session_id_from_cookie
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class LegacyCookieMiddleware(MiddlewareMixin):
    """Opens the old shop's cookie for who has none of ours, and sends what was written to it.

    An old cookie opens its own session alone: by a token of ours, which the ordinary doors then
    look at. One that is refused is as none. While a store does not answer nobody knows what it is
    worth: who is turned away for having no token then is asked to try again. Place it last in
    ``MIDDLEWARE``.
    """

    def process_request(self, request: HttpRequest) -> None:
        """Let a valid old cookie speak for a request that nothing else speaks for."""
        brought = brought_cookies(request)
        if not brought or "HTTP_AUTHORIZATION" in request.META:
            return
        own = session_id_from_cookie(request)
        if own is not None:
            note_brought(get_tiers(), brought, own)
            return
        for adapter in brought:
            earned = earn_token(adapter, request)
            if earned is not None:
                request.COOKIES[earned.key] = earned.value
                store.jar_of(request).earned = earned
                return

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Set and delete the cookies that the request came to."""
        is_turned_away = response.status_code == HTTPStatus.UNAUTHORIZED
        if is_turned_away and store.has_jar(request) and store.jar_of(request).is_unanswered:
            response = legacy_unavailable_response()
        ours = response.cookies.get(get_conf().COOKIE_NAME)
        if ours is not None and not ours.value:
            _forget_old_cookies(request)
        if store.has_jar(request):
            _hand_out(store.jar_of(request), response)
        return response


def brought_cookies(request: HttpRequest) -> list[CookieAdapter]:
    """Return the adapters of the old cookies that the request brings, whatever they are worth."""
    names = _cookie_names().items()
    adapters = [get_adapter(each, request) for each, name in names if request.COOKIES.get(name)]
    return [adapter for adapter in adapters if isinstance(adapter, CookieAdapter)]


@cache
def _cookie_names() -> dict[str, str]:
    """Return the legacy stores that are cookies: source → cookie's name."""
    adapters = [get_adapter(name) for name in get_sources()]
    cookies = [each for each in adapters if isinstance(each, CookieAdapter)]
    return {adapter.source: adapter.cookie.name for adapter in cookies}


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "LEGACY_ADAPTERS":
        _cookie_names.cache_clear()


setting_changed.connect(_forget, dispatch_uid="legacy_adapters.cookie.middleware")


def _forget_old_cookies(request: HttpRequest) -> None:
    """Delete them with our own cookie: they would earn another."""
    jar = store.jar_of(request)
    jar.written = dict.fromkeys(jar.written)
    for adapter in brought_cookies(request):
        store.discard(request, adapter.cookie)


def _hand_out(jar: store.Jar, response: HttpResponseBase) -> None:
    if jar.earned is not None and jar.earned.key not in response.cookies:
        response.cookies[jar.earned.key] = jar.earned
    for cookie, written in jar.written.items():
        _set(response, cookie, written)
    if jar.earned is not None or jar.written:
        # The answer is one shopper's: no cache may hand it to another.
        patch_cache_control(response, private=True)
        patch_vary_headers(response, ("Cookie",))


def _set(response: HttpResponseBase, cookie: store.Cookie, written: store.Written | None) -> None:
    response.set_cookie(
        cookie.name,
        "" if written is None else written.token,
        max_age=0 if written is None else int(writing.LIFETIME.total_seconds()),
        secure=cookie.secure,
        httponly=True,
        samesite="Lax",
        path="/",
    )
