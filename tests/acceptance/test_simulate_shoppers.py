"""An operator has shoppers come to a shop that is being moved, and hears how it kept its word."""

from __future__ import annotations

import json
from contextlib import suppress
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from funnel.local.ports import free_port
from funnel.simulation import Simulation
from legacy_adapters import sample_world
from sessions_unified.clock import get_clock
from tests.migrating import MANAGER, migrating_shop, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from tests.conftest import StartWebServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_flush")]

SECRET = "the old shop's secret without a comma"
SHOP = {
    "SESSION_MANAGER": MANAGER,
    "LEGACY_COOKIE_SECRETS": SECRET,
    "DECLINES_PER_ADDRESS": "0",
    "DECLINES_PER_CARD": "0",
    "SYNCS_PER_MINUTE": "10000",
}


@pytest.fixture
def old_shop(settings: SettingsWrapper) -> Iterator[None]:
    """Have the sample shop's table, and a site that follows the stages: at `off`."""
    with migrating_shop(settings):
        cookie = {**settings.LEGACY_ADAPTERS["cookie"], "SECRETS": [SECRET]}
        settings.LEGACY_ADAPTERS = {**settings.LEGACY_ADAPTERS, "cookie": cookie}
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE funnel_sessions")
        sample_world.load(table().table, now=get_clock().now())
        yield


@pytest.mark.usefixtures("old_shop")
def test_shoppers_come_and_what_they_were_told_is_looked_at(web_server: StartWebServer) -> None:
    base = web_server(processes=2, **SHOP)
    output = StringIO()

    with suppress(CommandError):  # what it says is looked at
        call_command(
            "simulate_shoppers",
            *("--base-url", base, "--shoppers", "16", "--rate", "20", "--seed", "5"),
            *("--patience", "30", "--json"),
            stdout=output,
        )

    found = json.loads(output.getvalue())
    assert found["problems"] == []
    assert found["unexpected"] == {}, found["examples"]
    assert found["shoppers"] == sum(found["kinds"].values()) == 16
    assert found["requests"]["come back"] == found["kinds"]["old cookies"] > 0

    with Simulation(base, seed=6, rate=20, patience_seconds=30, think_seconds=0.05) as simulation:
        simulation.run(shoppers=12)
        assert simulation.check(settle_seconds=30) == []
        changed, lost, revived = spoil(simulation)
        problems = simulation.check(settle_seconds=0)

    assert {each.session_id: each.kind for each in problems} == {
        changed: "lost",
        lost: "lost",
        revived: "revived",
    }
    assert {each.says for each in problems if each.session_id == changed} == {
        f"email is 'eve@example.org', not {simulation.ledger.sessions[changed].said['email']!r}"
    }


def spoil(simulation: Simulation) -> tuple[str, str, str]:
    """Change what the shop holds of three sessions, as a bug would."""
    # Who came first is the threads' affair: some have deleted theirs, or were not told for sure.
    changed, lost, revived = [
        session_id
        for session_id, facts in simulation.ledger.sessions.items()
        if facts.is_deleted is False and not facts.unsure and not facts.is_over()
    ][:3]
    with connection.cursor() as cursor:
        sql = "UPDATE funnel_sessions SET email = 'eve@example.org' WHERE id = %s"
        cursor.execute(sql, [changed])
        cursor.execute("DELETE FROM funnel_sessions WHERE id = %s", [lost])
    simulation.ledger.sessions[revived].is_deleted = True
    return changed, lost, revived


def test_a_command_that_cannot_be_is_refused(settings: SettingsWrapper) -> None:
    def refusal(*arguments: str) -> str:
        with pytest.raises(CommandError) as refused:
            call_command("simulate_shoppers", *arguments)
        return str(refused.value)

    nobody = f"http://127.0.0.1:{free_port()}"
    assert refusal("--base-url", nobody) == f"Nothing answers at {nobody}. Start `make demo` first."
    assert "is not on this machine" in refusal("--base-url", "https://shop.example.org")
    assert refusal("--rate", "0") == "--rate must be above 0."
    settings.FUNNEL = settings.FUNNEL | {"GATEWAY": "funnel.payments.nmi.NmiGateway"}
    assert "sandbox's test cards" in refusal("--base-url", nobody)
