"""``manage.py run_relay``: the process that follows the event log."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_unified import event_log
from sessions_unified.relay import Relay, consumers_of
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Iterator


class Command(BaseCommand):
    """Run until a signal comes; failures are logged and tried again."""

    help = (
        "Follow the event log and repair the caches after whoever died before they did. One is "
        "enough; two share the work, and one that stops leaves it to the other. Each, at its "
        "start, handles the time of the bound on age again. SIGTERM or Ctrl-C stops it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Offer to stop at the end of the log."""
        parser.add_argument(
            "--once", action="store_true", help="Handle what there is by now, and exit."
        )

    def handle(self, *, once: bool, **_: Any) -> None:
        """Follow."""
        tiers = get_tiers()
        relay = Relay(consumers_of(tiers), tiers)
        names = ", ".join(follower.consumer.name for follower in relay.followers)
        if not names:
            raise CommandError("There is nobody to tell: the cache is not a django-redis one.")
        if once:
            self.drain(relay)
            return
        with stop_requested() as stop:
            self.say(f"Following the event log for: {names}")
            relay.run(stop)
        self.say("Stopped; the next relay goes on from here.")

    def drain(self, relay: Relay) -> None:
        """Handle what can be handled by now, and say what cannot."""
        if not relay.drain():
            raise CommandError("Not everything was handled; the reason is in the log above.")
        for follower in relay.followers:
            name = follower.consumer.name
            left = event_log.lag(name).events
            self.say(f"{name}: all handled." if not left else f"{name}: {left:,} events to come.")
        holder = event_log.held_back_by()
        if holder is not None:
            self.say(
                f"Process {holder.pid} of PostgreSQL has been writing for {holder.seconds:.0f} s."
            )

    def say(self, text: str) -> None:
        """Print it now, even into a pipe."""
        self.stdout.write(text)
        self.stdout.flush()


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
