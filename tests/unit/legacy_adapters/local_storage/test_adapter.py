"""The adapters' contract, kept by a browser's storage; and what is its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpRequest

from legacy_adapters.base import LegacyRecord
from legacy_adapters.exceptions import UnreadableRecordError, UnwritableRecordError
from legacy_adapters.local_storage import LocalStorageAdapter
from legacy_adapters.local_storage.blobs import parse
from legacy_adapters.local_storage.store import attach, attached
from tests.browsers import entry
from tests.contracts.legacy_adapter import IDS, LegacyAdapterContract
from tests.sessions import snapshot

if TYPE_CHECKING:
    from datetime import datetime

    from legacy_adapters.base import LegacyAdapter


def browser(*entries: dict[str, Any]) -> LocalStorageAdapter:
    """Return the adapter of a browser that holds these entries."""
    request = HttpRequest()
    attach(request, parse(json.dumps({each["id"]: each for each in entries}).encode()))
    return LocalStorageAdapter(source="local_storage", request=request)


@pytest.mark.django_db  # the clock is the database's
class TestLocalStorageAdapter(LegacyAdapterContract):
    expired_leaves = None

    @pytest.fixture
    def adapter(self) -> LegacyAdapter:
        return browser()

    def put(self, adapter: LegacyAdapter, *records: dict[str, Any]) -> None:
        store = attached(adapter.request)
        assert store is not None
        held = {**store.blob.entries, **{each["id"]: each for each in records}}
        assert adapter.request is not None
        attach(adapter.request, parse(json.dumps(held).encode()))

    def example(self, session_id: str, *, email: str = "ana@example.org") -> dict[str, Any]:
        return entry(id=session_id, email=email)

    def expired_example(self, session_id: str) -> dict[str, Any]:
        return entry(id=session_id, expiresAt="2026-01-02T03:04:05.678Z")

    def broken_example(self, session_id: str) -> dict[str, Any]:
        return entry(id=session_id, status="pending")

    def odd_example(self, session_id: str) -> dict[str, Any]:
        line = {"id": "SOIL", "name": "Living Soil 5L", "price": "12.5", "quantity": 1}
        item = {"productCode": "upsell-1-serum", "step": 1, "transactionId": "3000000161"}
        return entry(
            id=session_id,
            note={"from": ["newsletter", 7]},
            products=[line, {"name": "without an id"}],
            upsells=[{**item, "timestamp": "2026-11-17T09:52:33.569Z"}, "none"],
            upsellsDeclined=["upsell-2-lamp", 7],
        )

    def updated(self, record: dict[str, Any], at: datetime) -> dict[str, Any] | None:
        return {**record, "updatedAt": at.isoformat(timespec="milliseconds")}

    def afterwards(self, adapter: LegacyAdapter) -> LegacyAdapter:
        store = attached(adapter.request)
        assert store is not None
        held = {**store.blob.entries, **store.keep}
        return browser(*(each for name, each in held.items() if name not in store.drop))


def test_without_a_storage_there_is_nothing_to_read_or_write() -> None:
    for request in (None, HttpRequest()):
        adapter = LocalStorageAdapter(source="local_storage", request=request)

        assert adapter.present() == ()
        assert adapter.peek(IDS[0]) is None
        assert adapter.delete(IDS[0]) is False
        with pytest.raises(UnwritableRecordError):
            adapter.save(LegacyRecord.of(IDS[0], entry(id=IDS[0])))


def test_a_vault_id_is_read_and_never_written() -> None:
    adapter = browser(entry(id=IDS[0], vaultId="428354408", extra=[{"vaultId": "428354408"}]))
    before = adapter.peek(IDS[0])
    assert before is not None
    session = adapter.to_unified(before)

    adapter.save(adapter.from_unified(session, before=before))
    adapter.save(adapter.from_unified(session))

    store = attached(adapter.request)
    assert store is not None
    assert session.vault_id == "428354408"
    assert "428354408" not in json.dumps(store.keep)
    assert "vaultId" not in adapter.from_unified(session, before=before).data


def test_card_data_that_the_browser_kept_does_not_go_back_to_it() -> None:
    card = "4111 1111 1111 1111"
    adapter = browser(
        entry(id=IDS[0], customerInfo={"notes": card}, notes=card, cardNumber=card, cvv="123")
    )
    before = adapter.peek(IDS[0])
    assert before is not None

    session = adapter.to_unified(before)
    record = adapter.from_unified(session, before=before)

    assert card not in repr(session.customer) + repr(session.metadata) + repr(record.data)
    assert not {"cvv", "cardNumber"} & set(record.data)


def test_a_step_that_the_flow_does_not_know_comes_back() -> None:
    adapter = browser(entry(id=IDS[0], currentStep="upsell-3", transactionId="3000000161"))
    record = adapter.peek(IDS[0])
    assert record is not None

    session = adapter.to_unified(record)

    assert session.current_step == "upsell-1"
    assert adapter.from_unified(session).data["currentStep"] == "upsell-3"
    assert adapter.from_unified(session, before=record).data["currentStep"] == "upsell-3"


def test_an_entry_has_no_words_for_an_expired_session() -> None:
    with pytest.raises(UnwritableRecordError, match="status expired"):
        browser().from_unified(snapshot(id=IDS[0], status="expired", email="a@example.org"))


def test_a_session_is_written_as_the_browsers_own_code_would() -> None:
    session = snapshot(
        id=IDS[0],
        status="pending",
        email="ana@example.org",
        vault_id="1234",
        products=[{"id": "SOIL", "quantity": 2, "name": "Soil", "price": "12.50"}],
    )

    data = browser().from_unified(session).data

    assert data == {
        "id": IDS[0],
        "email": "ana@example.org",
        "products": [{"id": "SOIL", "name": "Soil", "price": 12.5, "quantity": 2}],
        "status": "initiated",
        "currentStep": "checkout",
        "upsellsAccepted": [],
        "upsellsDeclined": [],
        "upsells": [],
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "expiresAt": "2026-01-02T00:00:00.000Z",
    }


def test_offers_are_taken_over_by_their_codes_and_come_back() -> None:
    item = {
        "productCode": "upsell-1-serum",
        "step": 1,
        "amount": 29.99,
        "transactionId": "3000000161",
        "timestamp": "2026-11-17T09:52:33.569Z",
    }
    adapter = browser(entry(id=IDS[0], upsellsAccepted=["upsell-1-serum"], upsells=[item]))
    record = adapter.peek(IDS[0])
    assert record is not None

    session = adapter.to_unified(record)

    detail = session.upsells.details["upsell-1-serum"]
    assert detail["acceptedAt"] == "2026-11-17T09:52:33.569Z"
    assert "productCode" not in detail
    assert adapter.from_unified(session).data["upsells"] == [item]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"email": ""}, "email is missing"),
        ({"email": "nobody"}, "email has no @"),
        ({"status": None}, "status is missing"),
        ({"status": "expired"}, "status 'expired'"),
        ({"createdAt": "yesterday"}, "createdAt is no date"),
        ({"updatedAt": None}, "updatedAt is missing"),
        ({"expiresAt": 5}, "expiresAt is no date"),
        ({"id": "ws_1_A"}, "id does not have the form"),
    ],
)
def test_what_an_entry_must_say(change: dict[str, Any], reason: str) -> None:
    record = LegacyRecord.of(IDS[0], entry(id=IDS[0]) | change)

    with pytest.raises(UnreadableRecordError, match=reason):
        browser().to_unified(record)
