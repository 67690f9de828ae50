"""Who calls the API, and what they may do with which session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rest_framework.exceptions import NotAuthenticated, PermissionDenied

from sessions_unified import keys
from sessions_unified.exceptions import SessionNotFoundError

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


@dataclass(frozen=True)
class Shopper:
    """A browser or app that holds a session's token: it may do anything to that one session."""

    session_id: str
    is_authenticated: bool = True

    @property
    def actor(self) -> str:
        """Return the name in events."""
        return "shopper"


@dataclass(frozen=True)
class Service:
    """A service with an API key, limited by its scopes."""

    name: str
    scopes: frozenset[str]
    is_authenticated: bool = True

    @property
    def actor(self) -> str:
        """Return the name in events."""
        return f"service:{self.name}"[:100]


@dataclass(frozen=True)
class Staff:
    """A staff member signed in to the admin, limited by Django's permissions."""

    user: AbstractBaseUser
    is_authenticated: bool = True

    @property
    def actor(self) -> str:
        """Return the name in events."""
        return f"staff:{self.user.pk}"

    @property
    def sees_pii(self) -> bool:
        """Whether customers' personal data is shown unmasked."""
        return self.user.has_perm("sessions_unified.view_pii")  # type: ignore[attr-defined,no-any-return]


Principal = Shopper | Service | Staff

_PERMISSIONS = {"read": "view", "write": "change", "delete": "delete"}


def authorize(principal: object, session_id: str, action: str) -> Principal:
    """Let ``principal`` do ``action`` (read, write, delete) to the session, or raise.

    Raises:
        NotAuthenticated: it is nobody (401).
        SessionNotFoundError: it is a shopper's, of another session: as if there were none (404).
        PermissionDenied: a service or staff member lacks the scope or permission (403).

    """
    if isinstance(principal, Shopper):
        if principal.session_id != session_id:
            raise SessionNotFoundError
        return principal
    if isinstance(principal, Service):
        scope = keys.READ if action == "read" else keys.WRITE
        if scope not in principal.scopes:
            message = f"This API key lacks the scope {scope}."
            raise PermissionDenied(message)
        return principal
    if isinstance(principal, Staff):
        permission = f"sessions_unified.{_PERMISSIONS[action]}_unifiedsession"
        if not principal.user.has_perm(permission):  # type: ignore[attr-defined]
            message = f"You lack the permission {permission}."
            raise PermissionDenied(message)
        return principal
    raise NotAuthenticated
