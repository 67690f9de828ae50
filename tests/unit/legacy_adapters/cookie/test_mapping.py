"""The old cookie's session data as a session, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy_adapters.cookie import epoch
from legacy_adapters.cookie.mapping import FIELDS, to_session
from legacy_adapters.cookie.writing import to_data
from legacy_adapters.exceptions import UnreadableRecordError, UnwritableRecordError
from legacy_adapters.stores import Store
from sessions_unified.flow import get_flow
from sessions_unified.snapshot import SessionSnapshot
from tests.legacy_tokens import MINUTE_MS, NOW, NOW_MS, SAMPLES, data, samples
from tests.sessions import snapshot


def mapped(given: dict[str, Any], store: Store = Store.COOKIE) -> SessionSnapshot:
    return to_session(given, store=store, flow=get_flow(), currency="USD")


def back(session: SessionSnapshot, before: dict[str, Any] | None = None) -> dict[str, Any]:
    return to_data(session, store=Store.COOKIE, before=before, flow=get_flow(), now=NOW)


def reason(given: dict[str, Any]) -> str:
    with pytest.raises(UnreadableRecordError) as caught:
        mapped(given)
    return caught.value.reason


def cached() -> list[dict[str, Any]]:
    entries = json.loads((SAMPLES / "legacy/memory_cache.json").read_text(encoding="utf-8"))
    return [entry for _, entry in entries]


def test_every_field_has_its_place() -> None:
    session = mapped(data(state="NY", lastVaultUpdate=NOW_MS - 5 * MINUTE_MS))

    assert (session.id, session.email) == ("ws_mwo5wwds_2", "ana@example.org")
    assert (session.vault_id, session.transaction_id) == ("618896069", "3094896636")
    assert session.customer == {
        "firstName": "Ana",
        "lastName": "Gómez",
        "customerId": "cus_3",
        "state": "NY",
    }
    assert session.created_at == NOW - timedelta(minutes=10)
    assert session.expires_at == NOW + timedelta(minutes=20)
    assert session.updated_at == NOW - timedelta(minutes=5)
    assert (session.currency, session.amount, session.products) == ("USD", None, ())
    assert session.metadata == {"legacy": {"cookie": {"lastVaultUpdate": NOW_MS - 300_000}}}


def test_a_transaction_proves_that_the_offers_are_next() -> None:
    paid, unpaid = mapped(data()), mapped(data(transactionId=None))

    assert (paid.status, paid.current_step, paid.is_paid) == ("processing", "upsell-1", True)
    assert (unpaid.status, unpaid.current_step) == ("pending", "checkout")
    assert unpaid.updated_at == unpaid.created_at


def test_only_what_the_customer_told_is_there() -> None:
    nothing = dict.fromkeys(("firstName", "lastName", "customerId", "state"))

    assert mapped(data(**nothing)).customer is None
    assert mapped(data(**nothing | {"state": "CA"})).customer == {"state": "CA"}
    assert mapped(data(customerId=7)).customer["customerId"] == 7  # type: ignore[index]


def test_what_has_no_place_is_kept_and_secrets_are_not() -> None:
    odd = data(cart={"lines": [1, None]}, note="x", cvv="123", vaultToken="t", lastVaultUpdate="?")

    session = mapped(odd, Store.MEMORY_CACHE)

    assert session.metadata == {
        "legacy": {
            "memory_cache": {
                "claims": {"cart": {"lines": (1, None)}, "note": "x", "lastVaultUpdate": "?"}
            }
        }
    }


def test_card_data_is_masked_and_the_gateway_s_references_are_not() -> None:
    number = "4111111111111111"

    session = mapped(data(firstName=f"Ana {number}", note=number, vaultId=number))

    assert session.customer is not None
    assert session.customer["firstName"] == "Ana 411111******1111"
    assert session.vault_id == number
    kept = session.metadata["legacy"]["cookie"]
    assert kept == {
        "claims": {"note": "411111******1111"},
        "maskedCardData": ("firstName", "note"),
    }


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"id": None}, "id is missing"),
        ({"id": "sess_1"}, "id does not have the form"),
        ({"email": None}, "email is missing"),
        ({"email": "secret.person"}, "email has no @"),
        ({"createdAt": None}, "createdAt is missing"),
        ({"expiresAt": None}, "expiresAt is missing"),
        ({"createdAt": "2026-11-20"}, "createdAt is no number but str"),
        ({"createdAt": True}, "createdAt is no number but bool"),
        ({"expiresAt": float("nan")}, "expiresAt is no finite number"),
        ({"expiresAt": -1}, "expiresAt is out of range"),
        ({"expiresAt": 10**400}, "expiresAt is out of range"),
        ({"expiresAt": Decimal("1e999999")}, "expiresAt is out of range"),
        ({"expiresAt": Decimal("1e999999999")}, "expiresAt is out of range"),
        ({"expiresAt": {}}, "expiresAt is no number but dict"),
    ],
)
def test_what_describes_no_session_says_why(fields: dict[str, Any], why: str) -> None:
    found = reason(data(**fields))

    assert found.startswith(why)
    assert "secret" not in found


def test_json_that_is_nested_too_deeply_is_unreadable() -> None:
    deep: Any = []
    for _ in range(20_000):
        deep = [deep]

    assert reason(data(note=deep)) == "its JSON is nested too deeply"


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (NOW_MS, NOW),
        (NOW_MS / 1000, NOW),
        (NOW_MS // 1000, NOW),
        (Decimal(NOW_MS) + Decimal("0.5"), NOW + timedelta(microseconds=500)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (10**11 - 1, datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC)),
        (10**11, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (Decimal("1e-999999999"), datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_number_s_size_tells_its_unit(number: Any, moment: datetime) -> None:
    assert epoch.moment(number) == moment


@given(st.one_of(st.integers(), st.floats(), st.decimals(), st.booleans(), st.text()))
def test_any_number_is_a_moment_or_a_value_error(number: Any) -> None:
    try:
        found = epoch.moment(number)
    except ValueError:
        return
    assert 1970 <= found.year <= 9998


def test_every_sample_comes_back_as_it_was() -> None:
    for said in [each["claims"] for each in samples()] + cached():
        session = mapped(said)

        assert back(session) == said
        assert back(session, said) == said
        assert (session.id, session.transaction_id) == (said["id"], said["transactionId"])


def test_odd_spellings_stay_while_the_session_says_the_same() -> None:
    odd = data(
        createdAt=NOW_MS // 1000,
        vaultId=618896069,
        email=" Ana@Example.org ",
        expiresAt=NOW_MS + 0.25,
        cart=[Decimal("1.50")],
        cvv="123",
    )
    session = mapped(odd)

    assert back(session, odd) == odd
    changed = back(msgspec.structs.replace(session, email="b@example.org"), odd)
    assert changed == odd | {"email": "b@example.org"}


def test_a_new_session_is_written_in_the_old_format_and_ends_in_half_an_hour() -> None:
    session = snapshot(
        email="ana@example.org",
        customer={"firstName": "Ana", "phone": "030", "state": None},
        vault_id="7",
        created_at=NOW,
        updated_at=NOW + timedelta(seconds=2),
        expires_at=NOW + timedelta(hours=24),
    )

    assert back(session) == {
        "id": "ws_1_a",
        "email": "ana@example.org",
        "firstName": "Ana",
        "vaultId": "7",
        "createdAt": NOW_MS,
        "expiresAt": NOW_MS + 30 * MINUTE_MS,
    }


def test_a_session_s_own_end_is_never_passed() -> None:
    session = mapped(data())

    sooner = msgspec.structs.replace(session, expires_at=NOW + timedelta(minutes=1))

    assert back(sooner, data())["expiresAt"] == NOW_MS + MINUTE_MS


def test_a_new_vault_id_says_since_when() -> None:
    before = data(lastVaultUpdate=NOW_MS - 9 * MINUTE_MS)
    session = msgspec.structs.replace(mapped(before), vault_id="200", updated_at=NOW)

    assert back(session, before) == before | {"vaultId": "200", "lastVaultUpdate": NOW_MS}


def test_what_a_session_no_longer_says_is_taken_out() -> None:
    session = msgspec.structs.replace(mapped(data()), customer=None, transaction_id=None)

    found = back(session, data())

    assert [found[name] for name in ("firstName", "lastName", "transactionId")] == [None] * 3


def test_without_an_email_nothing_is_written() -> None:
    with pytest.raises(UnwritableRecordError, match="email is missing"):
        back(snapshot(email=None))


def test_the_fields_are_those_that_a_change_of_is_written() -> None:
    assert set(SessionSnapshot.__struct_fields__) > FIELDS
    assert "status" not in FIELDS
