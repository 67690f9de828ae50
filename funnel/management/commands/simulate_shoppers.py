"""``manage.py simulate_shoppers``: shoppers of the running shop, and what became of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from funnel.conf import get_conf
from funnel.payments.sandbox import SandboxGateway
from funnel.simulation import Simulation
from funnel.simulation.exceptions import SimulationError
from funnel.simulation.old_table import cookie_secret, living_sessions
from funnel.simulation.report import is_good, lines, progress, report

if TYPE_CHECKING:
    from argparse import ArgumentParser

_WRONG = 1


class Command(BaseCommand):
    """Drive the shop over HTTP, and see at the end whether it kept its word."""

    help = (
        "Have simulated shoppers buy at the running shop, until Ctrl-C or a bound, and check that "
        "everything that they were told is so: exit code 1 if something was lost, charged twice or "
        "answered as no shopper should be."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how many come, how fast, and for how long."""
        parser.add_argument("--base-url", help="The shop, on this machine. Default: SITE_URL.")
        parser.add_argument("--seed", type=int, default=1, help="Which shoppers come: 1.")
        parser.add_argument("--rate", type=float, default=5, help="Sessions begun a second: 5.")
        parser.add_argument("--seconds", type=float, help="Stop after so long.")
        parser.add_argument("--shoppers", type=int, help="Stop after so many.")
        parser.add_argument("--concurrency", type=int, default=24, help="Most at a time: 24.")
        parser.add_argument(
            "--patience",
            type=float,
            default=30,
            help="Seconds for which a shopper asks again where the outcome is not known: 30.",
        )
        parser.add_argument(
            "--json", action="store_true", help="Print the report alone, as one JSON object."
        )

    def handle(
        self,
        *,
        base_url: str | None,
        seconds: float | None,
        shoppers: int | None,
        **options: Any,
    ) -> None:
        """Run them, and report."""
        self.refuse(options)
        is_quiet: bool = options["json"]
        base_url = base_url or settings.SITE_URL
        old = living_sessions() if cookie_secret() else []
        try:
            simulation = Simulation(
                base_url,
                seed=options["seed"],
                rate=options["rate"],
                concurrency=options["concurrency"],
                old_sessions=old,
                cookie_secret=cookie_secret(),
                patience_seconds=options["patience"],
            )
        except SimulationError as exc:
            raise CommandError(str(exc)) from exc
        with simulation:
            if not simulation.is_answered():
                raise CommandError(f"Nothing answers at {base_url}. Start `make demo` first.")
            if not is_quiet:
                self.say(
                    f"Shoppers come to {base_url}, {options['rate']:g} a second (seed "
                    f"{options['seed']}); {len(old):,} of the old shop may come back. "
                    "Ctrl-C: they finish, and what they were told is checked."
                )
            self.run(simulation, seconds, shoppers, is_quiet=is_quiet)
            found = self.checked(simulation, is_quiet=is_quiet)
        self.tell(found, as_json=is_quiet)

    def refuse(self, options: dict[str, Any]) -> None:
        """Refuse what cannot be simulated."""
        if not issubclass(import_string(get_conf().GATEWAY), SandboxGateway):
            raise CommandError(
                "The shoppers pay with the sandbox's test cards, and this shop has another "
                "gateway. Start it without PAYMENTS or PAYMENT_GATEWAY."
            )
        for name in ("rate", "concurrency"):
            if options[name] <= 0:
                raise CommandError(f"--{name} must be above 0.")

    def run(
        self,
        simulation: Simulation,
        seconds: float | None,
        shoppers: int | None,
        *,
        is_quiet: bool,
    ) -> None:
        """Have them come; an interrupt lets those inside finish."""
        tell = None if is_quiet else lambda: self.say(progress(simulation))
        try:
            simulation.run(seconds, shoppers=shoppers, tell=tell)
        except KeyboardInterrupt:
            if not is_quiet:
                self.say("")

    def checked(self, simulation: Simulation, *, is_quiet: bool) -> dict[str, Any]:
        """Look at every session, and return the report."""
        if not is_quiet:
            self.say(f"Looking at {len(simulation.ledger.sessions):,} sessions …")
        return report(simulation, simulation.check())

    def tell(self, found: dict[str, Any], *, as_json: bool) -> None:
        """Print the report, and fail if something is wrong."""
        if as_json:
            self.say(json.dumps(found, ensure_ascii=False))
        else:
            for line in lines(found):
                self.say(line)
        if not is_good(found):
            raise CommandError("Not everything is as the shoppers were told.", returncode=_WRONG)

    def say(self, text: str) -> None:
        """Show it now, even where lines are buffered."""
        self.stdout.write(text)
        self.stdout.flush()
