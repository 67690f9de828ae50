"""A process is SIGKILLed at each point of a write to two sides: repair finds what it left."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.settling import settle
from legacy_adapters.merging.comparing import differing
from legacy_adapters.migration.repair.working import backlog, repair_due
from legacy_adapters.migration.stages.names import Side, Stage
from sessions_unified import get_manager
from sessions_unified.tiers import get_tiers
from tests.charges import attempts, charges, pay, start, states
from tests.fault_site import site_environment
from tests.managing import wait_for
from tests.migrating import MANAGER, legacy_row, marked, migrating_shop, table, to_stage
from tests.migrating_model import ADAPTER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_django.fixtures import SettingsWrapper

    from tests.fault_servers import OwnServer

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "legacy"])

KILLED: Final = -9
BEFORE, AFTER = "ana@example.org", "eva@example.org"
METADATA: Final = {"n": 1}
# Where it dies → what the session is then, and on which side it is marked.
LEGACY_FIRST: Final = {
    "before the mark": (BEFORE, None),
    "after the mark": (BEFORE, Side.LEGACY),
    "legacy write": (BEFORE, Side.LEGACY),
    "legacy commit": (BEFORE, Side.LEGACY),
    "legacy committed": (AFTER, Side.LEGACY),
    "mark cleared": (AFTER, Side.LEGACY),  # before the commit
}
UNIFIED_FIRST: Final = {
    "before the mark": (BEFORE, None),
    "after the mark": (BEFORE, None),  # it is committed with the write
    "repair": (AFTER, Side.UNIFIED),
    "legacy write": (AFTER, Side.UNIFIED),
    "legacy committed": (AFTER, Side.UNIFIED),
    "mark cleared": (AFTER, Side.UNIFIED),
}


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A process that writes, and dies of it."""

    process: subprocess.Popen[str]

    def order(self, session_id: str, point: str, changes: Mapping[str, Any] | str | None) -> int:
        """Have it write, or pay, or (None) repair; return how it ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"session": session_id, "point": point, "changes": changes}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(autouse=True)
def shop(elsewhere: str, here: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings, alias="legacy"):
        settings.MIGRATION = {"STAGE_CACHE_SECONDS": 0, "REPAIR_DELAY_SECONDS": 0}
        yield


@pytest.fixture(scope="module")
def writer(elsewhere: str, valkey: OwnServer, database_url: str) -> Iterator[Writer]:
    """Start the process that all tests have killed children of."""
    settings = {
        "SESSIONS_UNIFIED": {"MANAGER": MANAGER},
        "TABLE": {"ADAPTER": ADAPTER},
        "MIGRATION": {"REPAIR_DELAY_SECONDS": 0},
    }
    env = site_environment(
        redis_url=valkey.url,
        database_url=database_url,
        settings=settings,
        DJANGO_SETTINGS_MODULE="tests.migration_settings",
        LEGACY_DATABASE_URL=database_url.rpartition("/")[0] + f"/{elsewhere}",
    )
    with started([sys.executable, "-m", "tests.migration_writer"], env) as process:
        yield Writer(process=process)


@contextmanager
def started(argv: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_repaired() -> None:
    """Repair until nothing is marked: what the dead process still has locked is passed over."""

    def is_repaired() -> bool:
        repair_due(get_tiers())
        return not backlog(get_tiers()).waiting

    wait_for(is_repaired)


def check_healed(session_id: str, email: str, metadata: Mapping[str, Any] = METADATA) -> None:
    """Check that repair leaves nothing marked, and both sides at the state that stands."""
    wait_until_repaired()
    session = get_manager("session.detail").get_session(session_id, fresh=True)
    assert (session.email, session.metadata) == (email, metadata)
    record, ours = table().peek(session_id), get_tiers().database.peek(session_id)
    assert record is not None
    assert ours is not None
    there, now = table().to_unified(record), get_tiers().clock.now()
    assert not differing(there, ours.session, fields=table().fields, now=now)


@pytest.mark.parametrize(
    ("stage", "point"),
    [(Stage.DUAL_WRITE, each) for each in LEGACY_FIRST]
    + [(Stage.RAMP_DOWN, each) for each in UNIFIED_FIRST],
)
def test_r44_killed_in_the_midst_of_a_write_nothing_acknowledged_is_lost(
    writer: Writer, stage: Stage, point: str
) -> None:
    is_legacy = stage.reads is Side.LEGACY
    email, side = (LEGACY_FIRST if is_legacy else UNIFIED_FIRST)[point]
    to_stage(stage)
    created = get_manager("session.detail").create_session(email=BEFORE, metadata=METADATA)

    assert writer.order(created.id, point, {"email": AFTER}) == KILLED

    assert marked(created.id) == side
    check_healed(created.id, email)


@pytest.mark.parametrize("point", ["legacy committed", "mark cleared"])
def test_r44_a_worker_killed_in_the_midst_of_a_repair_leaves_it_to_the_next(
    writer: Writer, point: str
) -> None:
    to_stage(Stage.RAMP_DOWN)
    created = get_manager("session.detail").create_session(email=BEFORE, metadata=METADATA)
    assert writer.order(created.id, "repair", {"email": AFTER}) == KILLED

    assert writer.order(created.id, point, None) == KILLED

    assert marked(created.id) == Side.UNIFIED
    check_healed(created.id, AFTER)


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.DUAL_WRITE])
@pytest.mark.parametrize("point", ["our write", "legacy commit", "legacy committed"])
def test_r44_killed_as_a_charge_is_opened_both_sides_wait_for_its_outcome(
    writer: Writer, stage: Stage, point: str
) -> None:
    to_stage(stage)
    session_id = start()
    is_open = point != "our write"

    assert writer.order(session_id, point, "pay") == KILLED

    assert states(session_id) == (["claimed"] if is_open else [])
    wait_until_repaired()
    if is_open and stage.writes_unified:  # the shop's own row says so too, whichever was lost
        assert place(session_id) == ("processing", "processing")
    for attempt in attempts(session_id):
        settle(get_manager(), attempt.pk, Receipt(outcome=Outcome.DECLINED, reason="Not sent"))
    assert place(session_id) == ("pending", "checkout")
    assert pay(session_id).status == 200
    assert len(charges(session_id)) == 1
    check_healed(session_id, "ana@example.org", {})


def place(session_id: str) -> tuple[str, str]:
    """Return where the shop's own row has the session."""
    found = legacy_row(session_id)
    assert found is not None
    return found["status"], found["current_step"]


def test_a_process_that_is_not_killed_leaves_no_mark(writer: Writer) -> None:
    to_stage(Stage.DUAL_WRITE)
    created = get_manager("session.detail").create_session(email=BEFORE, metadata=METADATA)

    assert writer.order(created.id, "nowhere", {"email": AFTER}) == 0

    assert marked(created.id) is None
    check_healed(created.id, AFTER)
