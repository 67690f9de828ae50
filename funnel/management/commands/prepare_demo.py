"""``manage.py prepare_demo``: what the demo's database needs before the shop opens."""

from __future__ import annotations

import secrets
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from funnel.local.banner import Prepared
from sessions_unified.models import SessionEvent, UnifiedSession

if TYPE_CHECKING:
    from argparse import ArgumentParser

ADMIN = "admin"
SHOPPERS = (
    ("before paying", "pending", "checkout"),
    ("at the first offer", "processing", "upsell-1"),
    ("at the second offer", "processing", "upsell-2"),
)
"""What an imported shopper's link shows, and the status and step to look for."""


class Command(BaseCommand):
    """Migrate, import the sample shop, and make what the launcher's banner shows."""

    help = "Prepare the demo's database. `make demo` runs this; nothing else should."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the report's place: a password doesn't belong into arguments or a log."""
        parser.add_argument(
            "--report", type=Path, required=True, help="The file to write for the launcher."
        )

    def handle(self, *, report: Path, **_: Any) -> None:
        """Run the steps; each may be repeated."""
        self.migrate()
        self.import_sample_shop()
        call_command("collectstatic", interactive=False, verbosity=0)
        Prepared(admin=ADMIN, password=self.new_password(), links=self.links()).write(report)

    def migrate(self) -> None:
        """Bring the database up to date, in one line."""
        call_command("migrate", interactive=False, verbosity=0)
        count = len(MigrationRecorder(connection).applied_migrations())
        self.say(f"Database ready: {count} migrations.")

    def import_sample_shop(self) -> None:
        """Load the old shop's sessions and import them, while there is code that can."""
        if not apps.is_installed("legacy_adapters"):
            return
        call_command("load_sample_world", "--if-missing", stdout=self.stdout)
        self.say("Importing the old shop's sessions …")
        # A start that was cut short may have left a run that is not over.
        call_command("backfill_sessions", "--source", "database", "--resume", stdout=self.stdout)

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
        """Return one-time links of imported shoppers, one for each place in the funnel."""
        found = ((title, imported_at(status, step)) for title, status, step in SHOPPERS)
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


def imported_at(status: str, step: str) -> str | None:
    """Return the id of an imported session there, of those that can go on the longest-lived."""
    imported = SessionEvent.objects.filter(kind="session_imported").values("session_id")
    sessions = UnifiedSession.objects.filter(
        id__in=imported,
        status=status,
        current_step=step,
        deleted_at=None,
        expires_at__gt=timezone.now(),
    )
    return sessions.order_by("-expires_at").values_list("id", flat=True).first()


def captured(command: str, *arguments: str) -> list[str]:
    """Run a command and return the lines it printed."""
    output = StringIO()
    call_command(command, *arguments, stdout=output)
    return output.getvalue().splitlines()
