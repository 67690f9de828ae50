"""Versions of sessions that the legacy store has the say of: none names half a state."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.repair.payments import has_lost
from legacy_adapters.migration.sides.locked import LegacyLockedSession
from legacy_adapters.migration.sides.primary import OldShopUnavailableError
from legacy_adapters.migration.stages.names import Stage
from sessions_unified import get_manager
from sessions_unified.exceptions import VersionConflictError
from sessions_unified.tiers import get_tiers
from tests.charges import answer, charges, paid, pay, session_of, start, states
from tests.migrating import legacy_row, marked, table, to_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessions_unified.snapshot import SessionSnapshot

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "legacy"]),
    pytest.mark.usefixtures("shop_elsewhere"),
]
LEGACY_STAGES = [Stage.OFF, Stage.DUAL_WRITE, Stage.SHADOW]


def read(session_id: str) -> SessionSnapshot:
    return get_manager("session.detail").get_session(session_id, fresh=True)


def read_elsewhere(session_id: str) -> SessionSnapshot:
    """Read as another process does."""
    found: list[SessionSnapshot] = []

    def run() -> None:
        found.append(read(session_id))
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def between_the_commits(monkeypatch: pytest.MonkeyPatch, session_id: str) -> list[SessionSnapshot]:
    """Have another process read after the legacy store's commit and before ours."""
    seen: list[SessionSnapshot] = []
    leave = type(table()).holding

    @contextmanager
    def watched(self: Any, key: str) -> Iterator[None]:
        with leave(self, key):
            yield
        if key == session_id and threading.current_thread() is threading.main_thread():
            seen.append(read_elsewhere(session_id))

    monkeypatch.setattr(type(table()), "holding", watched)
    return seen


@pytest.mark.parametrize("stage", LEGACY_STAGES)
@pytest.mark.parametrize("metadata", [{}, {"a": 1}], ids=["no-row", "row"])
def test_what_is_read_between_the_two_commits_cannot_be_built_on(
    stage: Stage, metadata: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_stage(stage)
    session_id = get_manager("session.create").create_session(metadata=metadata).id
    seen = between_the_commits(monkeypatch, session_id)
    manager = get_manager("session.detail")
    manager.update_session(session_id, {"metadata": {**metadata, "b": 2}})
    monkeypatch.undo()

    half = seen[-1]
    with pytest.raises(VersionConflictError):
        manager.update_session(
            session_id, {"metadata": {**half.metadata, "c": 3}}, if_version=half.version
        )

    assert half.metadata == metadata
    assert read(session_id).metadata == {**metadata, "b": 2}


@pytest.mark.parametrize("stage", LEGACY_STAGES)
def test_what_the_old_code_has_written_can_be_built_on(stage: Stage) -> None:
    to_stage(stage)
    session_id = get_manager("session.create").create_session(metadata={"a": 1}).id
    there = table().table
    with there.connection.cursor() as cursor:
        cursor.execute(there.statement("UPDATE {} SET {updated_at} = now(), {email} = 'a@b.cd'"))
    before = read(session_id)

    after = get_manager("session.detail").update_session(
        session_id, {"email": "c@d.ef"}, if_version=before.version
    )

    assert (before.email, after.email) == ("a@b.cd", "c@d.ef")
    assert after.metadata == {"a": 1}
    assert after.version < 10**17 < before.version


def losing_next(monkeypatch: pytest.MonkeyPatch, *, is_made: bool = False) -> list[int]:
    """Have the legacy store lose one commit, once `_loses` is set on it; return which were.

    ``is_made``: what is lost is the news of it.
    """
    lost: list[int] = []
    leave = type(table()).holding

    @contextmanager
    def losing(self: Any, key: str) -> Iterator[None]:
        with leave(self, key):
            yield
            fails = getattr(self, "_loses", False) and not lost
            if fails:
                lost.append(1)
            if fails and not is_made:
                raise SourceUnavailableError("the commit was lost")
        if fails:
            raise SourceUnavailableError("nobody heard of the commit")

    monkeypatch.setattr(type(table()), "holding", losing)
    return lost


def lost_payment(monkeypatch: pytest.MonkeyPatch, *, is_made: bool) -> list[int]:
    """Have it lose the commit of a payment."""
    write_on = LegacyLockedSession._write

    def write(self: Any, after: Any, change: Any) -> Any:
        self._stores.primary._loses = has_lost(self.session, after)
        return write_on(self, after, change)

    monkeypatch.setattr(LegacyLockedSession, "_write", write)
    return losing_next(monkeypatch, is_made=is_made)


def lost_opening(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have it lose the commit with which a charge is opened."""
    hold_on = LegacyLockedSession.hold

    def hold(self: Any) -> None:
        self._stores.primary._loses = True
        hold_on(self)

    monkeypatch.setattr(LegacyLockedSession, "hold", hold)
    return losing_next(monkeypatch)


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("stage", [Stage.OFF, Stage.DUAL_WRITE])
@pytest.mark.parametrize("is_made", [False, True])
def test_a_payment_whose_legacy_commit_is_lost_is_mended_from_ours(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, is_made: bool
) -> None:
    to_stage(stage)
    session_id = paid()
    lost = lost_payment(monkeypatch, is_made=is_made)

    reply = answer(session_id, "upsell-1-serum")

    assert (reply.status, len(lost)) == (200, 1)
    assert states(session_id) == ["succeeded", "succeeded"]
    session = session_of(session_id)
    assert (session.upsells.accepted, session.current_step) == (("upsell-1-serum",), "upsell-2")
    assert set(session.upsells.details) == {"upsell-1-serum"}
    found = legacy_row(session_id)
    assert found is not None
    assert (found["upsells_accepted"], found["current_step"]) == (["upsell-1-serum"], "upsell-2")


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("stage", [Stage.OFF, Stage.DUAL_WRITE])
def test_a_charge_goes_on_though_the_legacy_commit_of_its_opening_is_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_stage(stage)
    session_id = start()
    lost = lost_opening(monkeypatch)

    reply = pay(session_id)

    assert (reply.status, len(lost), len(charges(session_id))) == (200, 1, 1)
    assert states(session_id) == ["succeeded"]
    assert session_of(session_id).current_step == "upsell-1"
    found = legacy_row(session_id)
    assert found is not None
    assert (found["current_step"], found["email"]) == ("upsell-1", "ana@example.org")
    assert marked(session_id) is None


def test_what_was_lost_so_is_left_to_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    to_stage(Stage.DUAL_WRITE)
    session_id = start()
    lost = lost_opening(monkeypatch)

    with get_manager("checkout.process").lock_session(session_id) as locked:
        locked.update({"status": "processing", "current_step": "processing"}, kind="charge_started")
        locked.hold()

    assert (len(lost), marked(session_id)) == (1, "legacy")
    assert repair(get_tiers(), session_id)
    found = legacy_row(session_id)
    assert found is not None
    assert (found["status"], session_of(session_id).status) == ("processing", "processing")


def test_a_hold_that_opens_no_checkout_is_committed_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    to_stage(Stage.DUAL_WRITE)
    session_id = start()
    lost = lost_opening(monkeypatch)

    with (
        pytest.raises(OldShopUnavailableError),
        get_manager("upsell.process").lock_session(session_id) as locked,
    ):
        locked.hold()

    assert len(lost) == 1
    row = get_tiers().database.row(session_id)
    assert row is not None
    assert row.holds == 0


def test_neither_is_a_step_without_a_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    to_stage(Stage.DUAL_WRITE)
    session_id = start()
    lost = losing_next(monkeypatch)

    def move() -> None:
        with get_manager("checkout.process").lock_session(session_id) as locked:
            locked.update({"status": "processing", "current_step": "processing"}, kind="moved")
            locked._stores.primary._loses = True  # type: ignore[attr-defined]

    with pytest.raises(OldShopUnavailableError):
        move()

    assert len(lost) == 1
    assert session_of(session_id).status == "pending"
