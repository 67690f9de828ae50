"""What the demo prints when it is ready: where everything is and how to go on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from funnel.local.private_files import write_private
from funnel.payments.nmi.simulator.cards import CARDS

if TYPE_CHECKING:
    from pathlib import Path

RULE = "─" * 78
SHOWN_CARDS = (
    *("4111111111111111", "4000000000000002", "4000000000000044", "4000000000000069"),
    *("4000000000000085", "4000000000000093", "4000000000000184", "4000000000000218"),
)
"""Test cards that show most; the simulator lists them all."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What ``manage.py prepare_demo`` reports.

    Attributes:
        admin: the user name of the staff account.
        password: its password until the next start.
        links: (what the link shows, its URL), one-time links of the old shop's shoppers.
        has_old_shop: there is an old shop to be moved.

    """

    admin: str
    password: str
    links: tuple[tuple[str, str], ...]
    has_old_shop: bool = False

    def write(self, path: Path) -> None:
        """Write the report, for the owner's eyes only."""
        write_private(path, json.dumps(asdict(self)))

    @classmethod
    def take(cls, path: Path) -> Prepared:
        """Read the report and delete it."""
        report = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
        links = tuple((title, url) for title, url in report.pop("links"))
        return cls(links=links, **report)


def banner(base_url: str, prepared: Prepared, *, simulator_url: str = "") -> str:
    """Return the text, without colours."""
    lines = [
        RULE,
        f"  Shop      {base_url}/",
        f"  Admin     {base_url}/admin/   user: {prepared.admin}   password: {prepared.password}",
        f"  API docs  {base_url}/api/docs",
    ]
    if simulator_url:
        lines += _payments(simulator_url)
    if prepared.links:
        lines += ["", "  Shoppers of the old shop go on where they were (each link works once):"]
        width = max(len(title) for title, _ in prepared.links)
        lines += [f"    {title:<{width}}  {url}" for title, url in prepared.links]
    if prepared.has_old_shop:
        lines += _old_shop(base_url)
    lines += [
        "",
        "  In a second terminal: .venv/bin/python manage.py inspect_session ID",
        "  Stop: Ctrl-C (the data stays). Start over: make demo-reset",
        RULE,
    ]
    return "\n".join(lines)


def _old_shop(base_url: str) -> list[str]:
    return [
        "",
        "  The old shop is yours to move, endpoint by endpoint (docs/quickstart.md):",
        f"    control room       {base_url}/admin/legacy_adapters/migration/",
        "    how far it is      .venv/bin/python manage.py migration status",
        "    shoppers to watch  .venv/bin/python manage.py simulate_shoppers",
    ]


def _payments(simulator_url: str) -> list[str]:
    return [
        f"  NMI       {simulator_url}/_control/   a simulator: no money moves; test cards only:",
        *(f"    {number}  {CARDS[number].says}" for number in SHOWN_CARDS),
    ]
