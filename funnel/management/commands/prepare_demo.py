"""``manage.py prepare_demo``: what the demo's database needs before the shop opens."""

from __future__ import annotations

import secrets
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from funnel.local.banner import Prepared
from funnel.simulation.old_table import living_sessions
from sessions_unified import get_manager
from sessions_unified.exceptions import SessionExpiredError, SessionNotFoundError

if TYPE_CHECKING:
    from argparse import ArgumentParser

ADMIN = "admin"
SHOPPERS = (
    ("before paying", "pending", "checkout"),
    ("at the first offer", "processing", "upsell-1"),
    ("at the second offer", "processing", "upsell-2"),
)
"""What a link of the old shop's shopper shows, and the status and step to look for."""


class Command(BaseCommand):
    """Migrate, load the old shop, and make what the launcher's banner shows."""

    help = "Prepare the demo's database. `make demo` runs this; nothing else should."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the report's place: a password doesn't belong into arguments or a log."""
        parser.add_argument(
            "--report", type=Path, required=True, help="The file to write for the launcher."
        )

    def handle(self, *, report: Path, **_: Any) -> None:
        """Run the steps; each may be repeated."""
        self.migrate()
        has_old_shop = self.load_old_shop()
        call_command("collectstatic", interactive=False, verbosity=0)
        prepared = Prepared(
            admin=ADMIN,
            password=self.new_password(),
            links=self.links(),
            has_old_shop=has_old_shop,
        )
        prepared.write(report)

    def migrate(self) -> None:
        """Bring the database up to date, in one line."""
        call_command("migrate", interactive=False, verbosity=0)
        count = len(MigrationRecorder(connection).applied_migrations())
        self.say(f"Database ready: {count} migrations.")

    def load_old_shop(self) -> bool:
        """Load the old shop's sessions into its own table, while there is code that can move them.

        They stay there: moving them is the newcomer's. A second start changes nothing of it.
        """
        if not apps.is_installed("legacy_adapters"):
            return False
        call_command("load_sample_world", "--if-missing", stdout=self.stdout)
        return True

    def new_password(self) -> str:
        """Give the staff account a new password, good until the next start, and return it."""
        password = secrets.token_urlsafe(9)
        users = get_user_model().objects
        user, _ = users.get_or_create(username=ADMIN, defaults={"email": "admin@example.com"})
        user.is_staff = user.is_superuser = user.is_active = True
        user.set_password(password)
        user.save()
        return password

    def links(self) -> tuple[tuple[str, str], ...]:
        """Return one-time links of the old shop's shoppers, one for each place in the funnel."""
        found = ((title, old_session_at(status, step)) for title, status, step in SHOPPERS)
        return tuple((title, self.link(session_id)) for title, session_id in found if session_id)

    def link(self, session_id: str) -> str:
        """Return a one-time link of this session."""
        lines = captured("session_link", session_id)
        if not lines:
            raise CommandError(f"session_link printed no address for {session_id}.")
        return lines[-1].strip()

    def say(self, text: str) -> None:
        """Show it now, even where lines are buffered."""
        self.stdout.write(text)
        self.stdout.flush()


def old_session_at(status: str, step: str) -> str | None:
    """Return the id of a session of the old shop that is there now, the longest-lived."""
    living = [
        each for each in living_sessions() if (each.status, each.current_step) == (status, step)
    ]
    for each in sorted(living, key=lambda session: session.expires_at, reverse=True):
        # Its shopper may have gone on here, where the old table is written no longer.
        with suppress(SessionNotFoundError, SessionExpiredError):
            session = get_manager().get_session(each.id)
            if (session.status, session.current_step) == (status, step):
                return each.id
    return None


def captured(command: str, *arguments: str) -> list[str]:
    """Run a command and return the lines it printed."""
    output = StringIO()
    call_command(command, *arguments, stdout=output)
    return output.getvalue().splitlines()
