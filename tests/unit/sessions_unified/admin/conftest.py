"""Staff with different permissions, signed in, and sessions whose secrets are canaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from redis.exceptions import ConnectionError as RedisDownError

from sessions_unified import get_manager
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.tiers import reset_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessions_unified.snapshot import SessionSnapshot

LIST = "/admin/sessions_unified/unifiedsession/"
PII = ("canary-email", "canary-first", "canary-phone", "canary-street", "canary-note")
SECRETS = ("canary-vault", "canary-token")


class Staff(Protocol):
    def __call__(self, *codenames: str) -> Client: ...


@pytest.fixture
def refuse_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return a function after which Redis refuses every connection; the breaker is new, before
    (one that another test has opened would speak instead) and after.
    """

    def fail(*_: object) -> None:
        raise RedisDownError

    def refuse() -> None:
        reset_tiers()
        monkeypatch.setattr("sessions_unified.tiers.deadline.DeadlinePool.get_connection", fail)

    yield refuse
    reset_tiers()


@pytest.fixture
def staff(transactional_db: None, redis_flush: None) -> Staff:
    """Return a function that signs in a new staff member with these permissions."""

    def sign_in(*codenames: str) -> Client:
        user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
        for name in codenames:
            app, _, codename = name.rpartition(".")
            user.user_permissions.add(
                Permission.objects.get(
                    content_type__app_label=app or "sessions_unified", codename=codename
                )
            )
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def root(transactional_db: None, redis_flush: None) -> Client:
    """Return a signed-in superuser."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def make(**fields: Any) -> SessionSnapshot:
    """Create a session full of canaries."""
    given: dict[str, Any] = {
        "email": "canary-email@example.org",
        "customer": {
            "firstName": "canary-first",
            "phone": "canary-phone",
            "address": {"line1": "canary-street", "country": "US"},
        },
        "products": [{"id": "SOIL", "name": "Potting soil", "quantity": 2, "price": "12.65"}],
        "amount": "25.30",
        "metadata": {"note": "canary-note"},
    } | fields
    session = get_manager().create_session(**given)
    secrets = {"vault_id": SECRETS[0], "payment_token": SECRETS[1]}
    return get_manager().update_session(session.id, secrets)


def hold(session_id: str) -> None:
    with get_manager().lock_session(session_id) as locked:
        locked.hold()


def page_url(session_id: str) -> str:
    return reverse("admin:sessions_unified_unifiedsession_change", args=[quote(session_id)])


def act_url(session_id: str, act: str) -> str:
    args = [quote(session_id), act]
    return reverse("admin:sessions_unified_unifiedsession_act", args=args)


def row(session_id: str) -> UnifiedSession:
    return UnifiedSession.objects.get(pk=session_id)


def last_event(session_id: str) -> SessionEvent:
    found = SessionEvent.objects.filter(session_id=session_id).order_by("-seq").first()
    assert found is not None
    return found


def actor_of(client: Client) -> str:
    return f"staff:{client.session['_auth_user_id']}"
