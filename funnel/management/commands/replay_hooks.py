"""``manage.py replay_hooks``: hand orders on again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date, parse_datetime

from funnel.conf import get_conf
from funnel.hooks.models import HookDelivery
from funnel.hooks.replaying import replay, select

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django.db.models import QuerySet

State = HookDelivery.State


class Command(BaseCommand):
    """Make deliveries due again; the workers send them, each session's in order."""

    help = (
        "Deliver events of orders again: those that failed in all their tries, or, with "
        "--delivered, those that a target has lost. The workers send them within seconds, each "
        "session's in their order. A target that has had one already can tell by its id."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say which."""
        state = parser.add_mutually_exclusive_group()
        state.add_argument("--failed", action="store_true", help="Those that failed: the default.")
        state.add_argument(
            "--delivered",
            action="store_true",
            help="Those that arrived. Needs --session, or --target with --since.",
        )
        parser.add_argument("--session", metavar="ID", help="Of this session alone.")
        parser.add_argument(
            "--target", metavar="NAME", help="To this target alone: a key of HOOKS."
        )
        parser.add_argument(
            "--since",
            metavar="WHEN",
            help="What happened from then on: 2026-11-21 or 2026-11-21T08:30; UTC if it says no "
            "other.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Count, and write nothing.")
        parser.add_argument("--json", action="store_true", help="Print one object, for scripts.")

    def handle(self, *, dry_run: bool, json: bool, **options: Any) -> None:
        """Choose, and replay."""
        chosen = _chosen(**options)
        number = chosen.count() if dry_run else replay(chosen)
        if json:
            found = {"replayed": 0 if dry_run else number, "chosen": number, "dryRun": dry_run}
            self.stdout.write(msgspec.json.encode(found).decode())
        elif not number:
            self.stdout.write("Nothing to deliver again.")
        else:
            what = "delivery" if number == 1 else "deliveries"
            verb = "Would make" if dry_run else "Made"
            self.stdout.write(f"{verb} {number:,} {what} due again.")


def _chosen(
    *,
    delivered: bool,
    session: str | None,
    target: str | None,
    since: str | None,
    **_: Any,
) -> QuerySet[HookDelivery]:
    if delivered and not (session or (target and since)):
        raise CommandError(
            "--delivered needs --session, or --target with --since: otherwise every order of all "
            "time would be handed on again."
        )
    known = HookDelivery.objects.filter(target=target)
    if target and target not in get_conf().HOOKS and not known.exists():
        raise CommandError(f"HOOKS has no target {target!r}.")
    return select(
        state=State.DELIVERED if delivered else State.FAILED,
        session_id=session,
        target=target,
        since=None if since is None else _moment(since),
    )


def _moment(text: str) -> datetime:
    try:
        day = parse_date(text)
        moment = parse_datetime(text) if day is None else datetime(*day.timetuple()[:3], tzinfo=UTC)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"--since {text!r} is no time. Write 2026-11-21 or 2026-11-21T08:30.")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
