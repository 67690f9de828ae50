"""``manage.py nmi_simulator``: a local NMI, for the shop and for those who integrate with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from funnel.conf import get_conf
from funnel.payments.nmi.simulator.cli import (
    HELP,
    Options,
    SimulatorRefusedError,
    add_arguments,
    run,
)
from funnel.payments.nmi.simulator.simulator import SECURITY_KEY, WEBHOOK_KEY

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Run the simulator until it is stopped."""

    help = HELP
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what `cli.add_arguments` describes; the shop's own keys are the defaults."""
        nmi = get_conf().NMI
        webhook_keys = nmi.get("WEBHOOK_KEYS") or [WEBHOOK_KEY]
        defaults = Options(
            security_key=nmi.get("SECURITY_KEY") or SECURITY_KEY, webhook_key=webhook_keys[0]
        )
        add_arguments(parser, defaults=defaults)

    def handle(self, **given: Any) -> None:
        """Run it."""
        options = Options(**{name: given[name] for name in vars(Options()) if name in given})
        try:
            run(options, say=self._say)
        except SimulatorRefusedError as exc:
            raise CommandError(str(exc)) from exc

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
