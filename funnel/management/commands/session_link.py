"""``manage.py session_link ID``: a one-time link that brings a shopper back into their session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from sessions_unified import get_manager
from sessions_unified.exceptions import SessionExpiredError, SessionNotFoundError
from sessions_unified.links import create_link

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Print a link that opens one session, once."""

    help = "Print a one-time link to a session. Whoever opens it first is that shopper."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the session's id."""
        parser.add_argument("session_id", metavar="ID", help="The session's id: ws_…")

    def handle(self, *, session_id: str, **_: Any) -> None:
        """Make the link."""
        try:
            get_manager().get_session(session_id, fresh=True)
        except SessionNotFoundError as exc:
            raise CommandError(f"There is no session {session_id}, or it was deleted.") from exc
        except SessionExpiredError:
            self.stdout.write(
                self.style.WARNING("This session is over: its shopper can only start again.")
            )
        secret = create_link(session_id, actor="operator")
        self.stdout.write(f"{settings.SITE_URL.rstrip('/')}/s/{secret}")
