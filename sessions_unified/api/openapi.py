"""How the OpenAPI schema names the API's three doors; drf-spectacular finds these by import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension

from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

_MODULE = "sessions_unified.api.authentication"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session token, as a cookie or a Bearer."""

    target_class = f"{_MODULE}.TokenAuthentication"
    name = ["sessionCookie", "sessionToken"]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        """Return both."""
        return [
            {"type": "apiKey", "in": "cookie", "name": get_conf().COOKIE_NAME},
            {"type": "http", "scheme": "bearer"},
        ]


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A service's key."""

    target_class = f"{_MODULE}.KeyAuthentication"
    name = "serviceKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return it."""
        text = "`Api-Key <key>`"
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": text}


class StaffScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """A staff login."""

    target_class = f"{_MODULE}.StaffAuthentication"
    name = "staffLogin"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return it."""
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
