"""What a hostile reading of the migration found: each once proven by the test that is here."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import RequestFactory

from legacy_adapters.contact import import_on_contact
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.stages.names import Side, Stage
from sessions_unified import get_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    SessionNotFoundError,
    VersionConflictError,
)
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.charges import answer, attempts, paid, pay, session_of, start, states
from tests.legacy import paid_row, put, row
from tests.legacy_tokens import shifted, token
from tests.migrating import SECRET, legacy_row, marked, table, to_stage
from tests.repairs import mark

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "legacy"]),
    pytest.mark.usefixtures("gateway", "shop_elsewhere"),
]

LEGACY_STAGES = [Stage.OFF, Stage.DUAL_WRITE, Stage.SHADOW]


def write_there(session_id: str, **values: Any) -> None:
    """Change the row as the old code does."""
    there = table().table
    changes = ", ".join(f"{{{name}}} = %s" for name in values)
    with there.connection.cursor() as cursor:
        cursor.execute(
            there.statement(f"UPDATE {{}} SET {changes}, {{updated_at}} = now() WHERE {{id}} = %s"),
            [*values.values(), session_id],
        )


def pay_there(session_id: str, **values: Any) -> None:
    """Take the order's payment as the old code does."""
    write_there(
        session_id,
        transaction_id="tx-of-the-old-code",
        vault_id="vault-of-the-old-code",
        status="processing",
        current_step="upsell-1",
        **values,
    )


@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.SHADOW])
def test_a_payment_of_the_old_code_is_on_record_whatever_is_written_first(stage: Stage) -> None:
    to_stage(stage)
    session_id = start()
    pay_there(session_id)

    changes = {"email": "eva@example.org"}
    get_manager("session.detail").update_session(session_id, changes)

    assert states(session_id) == ["succeeded"]
    assert answer(session_id, "upsell-1-serum").status == 200
    assert [each.vault_id for each in attempts(session_id)] == ["vault-of-the-old-code"] * 2


def test_a_payment_of_the_old_code_is_on_record_at_off_too() -> None:
    session_id = start()
    pay(session_id, "tok_decline")
    pay_there(session_id)

    changes = {"email": "eva@example.org"}
    get_manager("session.detail").update_session(session_id, changes)
    assert answer(session_id, "upsell-1-serum").status == 200


def test_an_extra_of_the_old_code_is_on_record_too() -> None:
    to_stage("dual_write")
    session_id = paid()
    write_there(session_id, upsells_accepted=["upsell-1-serum"], current_step="upsell-2")
    get_manager("session.detail").update_session(session_id, {"email": "eva@example.org"})
    assert states(session_id) == ["succeeded", "succeeded"]


@pytest.mark.parametrize("stage", LEGACY_STAGES)
def test_a_change_hides_no_contradicting_payment(stage: Stage) -> None:
    to_stage(stage)
    session_id = paid()
    ours = UnifiedSession.objects.get(pk=session_id).transaction_id
    write_there(session_id, transaction_id="another")

    get_manager("session.detail").update_session(session_id, {"email": "eva@example.org"})

    assert UnifiedSession.objects.get(pk=session_id).transaction_id == ours
    assert UnifiedSession.objects.get(pk=session_id).email == "eva@example.org"


@pytest.mark.parametrize("stage", LEGACY_STAGES)
def test_a_version_that_was_read_is_good_though_a_payment_is_put_back(stage: Stage) -> None:
    to_stage(stage)
    session_id = paid()
    write_there(session_id, transaction_id=None, vault_id=None)
    session = get_manager("session.detail").get_session(session_id)

    get_manager("session.detail").delete_session(session_id, if_version=session.version)

    assert legacy_row(session_id) is None


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.DUAL_WRITE, Stage.LIVE])
def test_an_amount_is_exact_in_a_currency_of_more_decimals(stage: Stage) -> None:
    to_stage(stage)
    manager = get_manager("session.detail")
    created = manager.create_session(currency="KWD", amount=Decimal("1.234"))

    manager.update_session(created.id, {"email": "eva@example.org"})

    assert created.amount == Decimal("1.234")
    assert manager.get_session(created.id).amount == Decimal("1.234")


ODD = {
    "email": " Ana@Example.org ",
    "customer_info": {"firstName": "Ana", "note": "4111 1111 1111 1111", "cvv": "123", "x": None},
    "products": [{"id": "SOIL", "quantity": "2", "price": "10.005", "extra": {"a": 1.10}}, "odd"],
    "amount": "20.015",
    "status": "processing",
    "current_step": "upsell-9",
    "payment_token": "tok",
    "upsells_accepted": ["upsell-1-serum", "upsell-1-serum", ""],
    "transaction_id": " tx ",
    "vault_id": "v",
}


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.DUAL_WRITE, Stage.LIVE])
def test_a_change_leaves_what_is_odd_in_the_row_as_it_is(stage: Stage) -> None:
    to_stage(stage)
    manager = get_manager("session.detail")
    for number, (name, value) in enumerate(ODD.items()):
        session_id = f"ws_mwo5wwds_odd{number}"
        put(table().table, row(id=session_id, **{name: value}))
        before = legacy_row(session_id)

        manager.update_session(session_id, {"metadata": {"campaign": "spring"}})

        after = legacy_row(session_id)
        assert before is not None
        assert after is not None
        changed = {each for each in before if before[each] != after[each]}
        assert changed <= {"updated_at", "expires_at"}, name


COOKIE_ONLY = "ws_mwo5wwds_2"


def _cookie() -> str:
    known = paid_row()
    begun = get_clock().now() - timedelta(minutes=10)
    paid_by = {"transactionId": known["transaction_id"], "vaultId": known["vault_id"]}
    claims = shifted(begun, id=COOKIE_ONLY, email=known["email"], **paid_by)
    return token(claims, secret=SECRET)


def met_by_cookie() -> str:
    """Import a session that the old cookie alone knows, as its contact does."""
    request = RequestFactory().get("/")
    request.COOKIES["upsell_session"] = _cookie()
    assert import_on_contact(COOKIE_ONLY, request) is not None
    return COOKIE_ONLY


def test_a_session_that_never_was_in_the_table_is_not_deleted_for_not_being_there() -> None:
    session_id = met_by_cookie()
    to_stage("dual_write")
    with pytest.raises(SessionNotFoundError):
        get_manager("admin").extend_session(session_id)

    if marked(session_id):
        repair(get_tiers(), session_id)

    assert UnifiedSession.objects.get(pk=session_id).deleted_at is None


@pytest.mark.parametrize("stage", LEGACY_STAGES)
def test_a_table_that_is_locked_is_not_taken_for_our_database(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_stage(stage)
    session_id = start()
    holding, fails = DatabaseAdapter.holding, iter([True])

    def first_fails(adapter: DatabaseAdapter, session_id: str) -> Any:
        if next(fails, False):
            raise SourceUnavailableError("canceling statement due to lock timeout")
        return holding(adapter, session_id)

    monkeypatch.setattr(DatabaseAdapter, "holding", first_fails)
    manager = get_manager("session.detail")
    with pytest.raises(DatabaseUnavailableError):
        manager.update_session(session_id, {"email": "eva@example.org"})

    assert session_of(session_id).email == "ana@example.org"
    assert manager.degraded == set()


@pytest.mark.parametrize("stage", LEGACY_STAGES)
def test_a_session_is_not_over_while_a_charge_is_open(stage: Stage) -> None:
    to_stage(stage)
    session_id = start()
    pay(session_id, "tok_timeout_charged")
    write_there(session_id, expires_at=get_clock().now() - timedelta(minutes=1))

    session = get_manager("session.detail").get_session(session_id)

    assert (session.status, states(session_id)) == ("processing", ["unknown"])
    found = legacy_row(session_id)
    assert found is not None
    assert found["status"] == "processing"


def test_what_the_table_has_lost_since_is_deleted() -> None:
    session_id = met_by_cookie()
    to_stage("dual_write")
    request = RequestFactory().get("/")
    request.COOKIES["upsell_session"] = _cookie()
    changes = {"email": "eva@example.org"}
    get_manager("upsell.process", request).update_session(session_id, changes)
    assert legacy_row(session_id) is not None
    table().delete(session_id)
    mark(session_id, Side.LEGACY)

    repair(get_tiers(), session_id)

    assert UnifiedSession.objects.get(pk=session_id).deleted_at is not None


def one_live() -> None:
    """Bring one endpoint to `live`, as it is done: the others follow later."""
    to_stage("shadow")
    to_stage("live", "session.detail")


def test_a_version_that_live_has_read_is_good_while_legacy_is_written_first() -> None:
    one_live()
    session_id, manager = start(), get_manager("session.detail")
    first = manager.get_session(session_id)

    second = manager.update_session(
        session_id, {"email": "eva@example.org"}, if_version=first.version
    )
    third = manager.update_session(
        session_id, {"email": "mia@example.org"}, if_version=second.version
    )

    assert third.email == "mia@example.org"
    with pytest.raises(VersionConflictError):
        manager.update_session(session_id, {"email": "x@example.org"}, if_version=first.version)


def test_such_a_version_is_not_that_of_a_state_that_the_old_code_has_changed() -> None:
    one_live()
    session_id, manager = start(), get_manager("session.detail")
    first = manager.get_session(session_id)
    write_there(session_id, email="old.code@example.org")

    changes = {"customer": {"firstName": "Ana"}}
    with pytest.raises(VersionConflictError):
        manager.update_session(session_id, changes, if_version=first.version)
    again = manager.get_session(session_id)

    assert again.email == "old.code@example.org"
    manager.delete_session(session_id, if_version=again.version)
