"""R38: whatever JSON comes to whatever endpoint, the answer is ours and never a 500."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from django.test import Client
from hypothesis import strategies as st

from tests.charges import start

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = (
    *("email", "customer", "products", "metadata", "currentStep", "durationSeconds"),
    *("paymentToken", "offer", "decision", "id", "quantity", "address", "firstName", "zip"),
    *("bumps", "cardFingerprint", "lastName", "line1", "city", "country"),
    *("non_field_errors", "", "a.b", "x" * 300),
)
VALUES = (
    *("ana@example.org", "SOIL", "checkout", "upsell-1-serum", "accept", "tok_approve", "US"),
    *("bump-labels", "bump-mister", "decline", "upsell-1-bundle", "hash-of-a-card"),
    *("\x00", "\ud800", "😀", "1", ""),
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=12)
    | st.sampled_from(VALUES)
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)
bodies = st.dictionaries(st.sampled_from(NAMES), anything, max_size=5) | anything
customers = st.fixed_dictionaries(
    {"firstName": st.just("Ana"), "lastName": st.just("M")},
    optional={"phone": leaves, "address": anything},
)
# Close enough to what is asked for to get past the first checks.
nearly = {
    "checkout": st.fixed_dictionaries(
        {"paymentToken": st.just("tok_decline") | st.text(min_size=1, max_size=255)},
        optional={
            "customer": customers,
            "bumps": st.lists(st.sampled_from(VALUES), max_size=4) | anything,
            "cardFingerprint": st.text(min_size=1, max_size=128) | leaves,
        },
    ),
    "upsell": st.fixed_dictionaries(
        {
            "offer": st.sampled_from(VALUES),
            "decision": st.sampled_from(("accept", "decline")),
        },
        optional={
            "paymentToken": st.just("tok_decline") | st.text(min_size=1, max_size=255),
            "cardFingerprint": st.text(min_size=1, max_size=128) | leaves,
        },
    ),
}
headers = st.dictionaries(
    st.sampled_from(
        (
            *("Idempotency-Key", "If-Match", "If-None-Match", "Origin", "Accept"),
            *("X-Forwarded-For", "Accept-Language", "Authorization"),
        )
    ),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=20),
    max_size=2,
)


@pytest.fixture
def shopper() -> tuple[Client, str]:
    client = Client(raise_request_exception=False)
    created = client.post(
        "/api/session/create",
        {"email": "ana@example.org", "products": [{"id": "SOIL", "quantity": 1}]},
        content_type="application/json",
    )
    return client, created.json()["id"]


@pytest.mark.parametrize("endpoint", ["create", "patch", "extend", "checkout", "upsell"])
def test_r38_no_json_makes_a_500(shopper: tuple[Client, str], endpoint: str) -> None:
    client, session_id = shopper
    path = f"/api/session/{session_id}"
    call, where = {
        "create": (client.post, "/api/session/create"),
        "patch": (client.patch, path),
        "extend": (client.post, f"{path}/extend"),
        "checkout": (client.post, "/api/checkout/process"),
        "upsell": (client.post, "/api/upsell/process"),
    }[endpoint]
    token = client.cookies["funnel_session"].value

    @hypothesis.given(body=bodies | nearly.get(endpoint, st.nothing()), more=headers)
    def every(body: Any, more: dict[str, str]) -> None:
        client.cookies["funnel_session"] = token  # a created session would replace it

        answer = call(where, json.dumps(body), content_type="application/json", headers=more)

        assert answer.status_code < 500, answer.content
        if answer.status_code >= 400:
            assert answer["Content-Type"] == "application/problem+json"
            assert json.loads(answer.content)["code"]

    every()
    assert client.get(path).status_code == 200


@hypothesis.given(metadata=st.dictionaries(st.text(max_size=5), anything, max_size=4))
def _accepted_metadata_is_kept(client: Client, path: str, metadata: dict[str, Any]) -> None:
    answer = client.patch(path, json.dumps({"metadata": metadata}), content_type="application/json")
    if answer.status_code == 200:
        kept = answer.json()["metadata"]
        assert all(kept[name] == value for name, value in metadata.items() if value is not None)
        assert client.get(path).json()["metadata"] == kept
        client.patch(
            path, json.dumps({"metadata": dict.fromkeys(kept)}), content_type="application/json"
        )


def test_metadata_that_is_accepted_comes_back_the_same(shopper: tuple[Client, str]) -> None:
    client, session_id = shopper

    _accepted_metadata_is_kept(client, f"/api/session/{session_id}")


def test_the_helper_makes_sessions_as_the_api_does() -> None:
    assert start().startswith("ws_")
