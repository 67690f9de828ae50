"""A backfill while a shop is being moved: of what is written there first the record has the say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from legacy_adapters.migration.backfill.whole import backfill
from legacy_adapters.migration.importing.batches import import_batch
from legacy_adapters.migration.importing.records import Reading
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.stages.names import Side
from legacy_adapters.models import ImportRecord, SessionConflict
from legacy_adapters.stores import Store
from sessions_unified import get_manager
from sessions_unified.tiers import get_tiers
from tests.charges import attempts, paid, states
from tests.legacy import put, row
from tests.migrating import legacy_row, marked, migrating_shop, table, to_stage
from tests.repairs import change_here, change_there, created, differences, here, mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gateway")]

ID = "ws_mwo5wwds_2"


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        yield


def run() -> dict[str, int]:
    """Backfill, and return what became of the records."""
    report = backfill(table())
    found = {
        "imported": report.imported,
        "unchanged": report.unchanged,
        "merged": report.merged,
        "conflicting": len(report.conflicts),
    }
    return {kind: number for kind, number in found.items() if number}


def moved_on() -> None:
    """Import a session, and have it changed on both sides."""
    put(table().table, row(id=ID))
    run()
    change_here(ID, email="here@example.org", metadata={"campaign": "spring"})
    change_there(ID, email="there@example.org", customer_info='{"firstName": "Eva"}')


@pytest.mark.parametrize("stage", ["off", "dual_write", "shadow"])
def test_the_record_is_followed_where_it_is_written_first(stage: str) -> None:
    to_stage(stage)
    moved_on()

    assert run() == {"merged": 1}

    assert (here(ID).email, here(ID).customer) == ("there@example.org", {"firstName": "Eva"})
    assert here(ID).metadata["campaign"] == "spring"
    assert differences(ID) == ()
    assert not SessionConflict.objects.exists()
    record = table().peek(ID)
    assert record is not None
    assert ImportRecord.objects.get().digest == record.digest
    assert run() == {"unchanged": 1}
    change_there(ID, email="later@example.org")
    assert run() == {"merged": 1}


def test_one_that_was_made_here_is_followed_too() -> None:
    session_id = created(metadata={"campaign": "spring"})
    change_there(session_id, email="there@example.org")

    assert run() == {"merged": 1}

    assert here(session_id).email == "there@example.org"
    assert here(session_id).metadata == {"campaign": "spring"}


def test_another_store_has_no_say() -> None:
    session_id = created(metadata={"campaign": "spring"})
    record = table().peek(session_id)
    assert record is not None
    session = msgspec.structs.replace(table().to_unified(record), email="there@example.org")
    reading = Reading(record=record, session=session)

    (outcome,) = import_batch(
        get_tiers(), [reading], source="another", store=Store.COOKIE, fields=table().fields
    )

    assert outcome.kind == "conflicting"
    assert here(session_id).email == "ana@example.org"


def test_where_ours_is_written_first_it_stays() -> None:
    to_stage("live")
    moved_on()

    assert run() == {"conflicting": 1}

    assert here(ID).email == "here@example.org"


def test_of_part_of_the_sessions_the_record_has_the_say() -> None:
    to_stage("live")
    moved_on()
    to_stage("live", "session.detail", percent=0.01)

    assert run() == {"merged": 1}


@pytest.mark.parametrize("side", [Side.LEGACY, Side.UNIFIED])
def test_one_that_waits_for_its_repair_is_left_alone(side: Side) -> None:
    moved_on()
    mark(ID, side)

    assert run() == {"unchanged": 1}
    assert here(ID).email == "here@example.org"

    repair(get_tiers(), ID)
    assert run() == {"unchanged": 1}
    assert differences(ID) == ()


@pytest.mark.parametrize("stage", ["shadow", "live"])
def test_a_record_that_was_scanned_before_the_last_write_replaces_nothing(stage: str) -> None:
    to_stage("shadow")
    put(table().table, row(id=ID))
    run()
    record = table().peek(ID)
    assert record is not None
    scanned = Reading(record=record, session=table().to_unified(record))
    get_manager("session.detail").update_session(ID, {"email": "later@example.org"})
    mark(ID, Side.LEGACY)
    repair(get_tiers(), ID)
    to_stage(stage)

    import_batch(
        get_tiers(),
        [scanned],
        source="database",
        store=table().store,
        fields=table().fields,
    )

    assert here(ID).email == "later@example.org"


def test_a_dry_run_leaves_no_trace() -> None:
    moved_on()

    assert backfill(table(), is_dry_run=True).merged == 1

    assert here(ID).email == "here@example.org"


def test_without_a_migration_nothing_is_followed(settings: SettingsWrapper) -> None:
    plain = "sessions_unified.manager.UnifiedSessionManager"
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"MANAGER": plain}
    moved_on()
    mark(ID, Side.LEGACY)

    assert run() == {"conflicting": 1}


def test_a_record_that_cannot_be_read_any_more_spoils_no_batch() -> None:
    moved_on()
    record = table().peek(ID)
    assert record is not None
    scanned = Reading(record=record, session=table().to_unified(record))

    for change in ("unreadable", "gone"):
        if change == "gone":
            table().delete(ID)
        else:
            change_there(ID, email="none")
        (outcome,) = import_batch(
            get_tiers(), [scanned], source="database", store=table().store, fields=table().fields
        )
        assert outcome.kind == "unchanged"


class TestWhatIsPaid:
    def test_an_old_copy_undoes_nothing_and_is_marked_to_be_mended(self) -> None:
        to_stage("dual_write")
        session_id = paid()
        before, money = here(session_id).transaction_id, states(session_id)
        run()
        change_there(
            session_id,
            status="pending",
            current_step="checkout",
            transaction_id=None,
            vault_id=None,
        )

        run()

        assert (here(session_id).transaction_id, here(session_id).current_step) == (
            before,
            "upsell-1",
        )
        assert marked(session_id) == Side.UNIFIED
        repair(get_tiers(), session_id)
        found = legacy_row(session_id)
        assert found is not None
        assert (found["transaction_id"], found["current_step"]) == (before, "upsell-1")
        assert states(session_id) == money

    def test_a_payment_there_is_on_record_here(self) -> None:
        moved_on()
        change_there(
            ID, status="processing", current_step="upsell-1", transaction_id="302", vault_id="117"
        )

        assert run() == {"merged": 1}

        assert [(each.state, each.transaction_id) for each in attempts(ID)] == [
            ("succeeded", "302")
        ]

    def test_another_payment_is_for_a_person(self) -> None:
        to_stage("dual_write")
        session_id = paid()
        run()
        change_there(session_id, transaction_id="999")

        assert run() == {"conflicting": 1}

        assert SessionConflict.objects.get().fields == ["transaction_id"]
        assert here(session_id).transaction_id != "999"
