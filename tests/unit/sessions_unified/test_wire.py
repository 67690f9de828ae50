"""The wire format: what leaves the server, and what does not."""

from __future__ import annotations

import msgspec

from sessions_unified.api.renderers import WireJSONRenderer
from sessions_unified.api.serializers import CreateSerializer
from sessions_unified.wire import to_wire
from tests.contracts.tier import RICH
from tests.sessions import snapshot


def test_what_opens_a_card_never_leaves() -> None:
    session = snapshot(**RICH | {"vault_id": "canary-vault", "payment_token": "canary-token"})

    for shows_internal in (False, True):
        body = WireJSONRenderer().render(to_wire(session, shows_internal=shows_internal))
        assert b"canary" not in body


def test_amounts_are_numbers_and_times_are_utc() -> None:
    body = msgspec.json.decode(WireJSONRenderer().render(to_wire(snapshot(**RICH))))

    assert body["amount"] == 25.0
    assert body["products"][0] == {"id": "SOIL", "name": "Soil", "price": 12.5, "quantity": 2}
    assert body["createdAt"] == "2026-01-01T00:00:00Z"


def test_what_an_import_kept_is_for_staff_and_services_alone() -> None:
    session = snapshot(metadata={"utm": "x", "legacy": {"currentStep": "upsell-3"}})

    assert to_wire(session)["metadata"] == {"utm": "x"}
    assert to_wire(session, shows_internal=True)["metadata"] == session.metadata


def test_r41_what_opens_a_card_is_in_no_answer_wherever_it_stands() -> None:
    customer = {"firstName": "Ana", "vaultId": "canary", "cards": [{"payment_token": "canary"}]}
    session = snapshot(customer=customer, vault_id="canary", payment_token="canary")

    for shows_internal in (False, True):
        said = to_wire(session, shows_internal=shows_internal)

        assert said["customer"] == {"firstName": "Ana", "cards": [{}]}
        assert "canary" not in str(said)


def test_no_client_writes_what_an_import_kept() -> None:
    serializer = CreateSerializer(data={"email": "a@example.org", "metadata": {"legacy": {}}})

    assert not serializer.is_valid()
    assert "shop's own" in str(serializer.errors["metadata"])
