"""Every row of the API's table, over real HTTP."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from http.cookies import SimpleCookie

import pytest
from django.db import connection

from sessions_unified.conf import get_conf
from tests.live_site import SOIL, Caller, Shopper

CUSTOMER = {
    "firstName": "Ana",
    "lastName": "Müller",
    "phone": "+49 30 1234",
    "address": {
        "line1": "Hauptstraße 1",
        "line2": "",
        "city": "Köln",
        "state": "NW",
        "zip": "50667",
        "country": "DE",
    },
}


def sql(statement: str, *params: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def expire(shopper: Shopper) -> None:
    sql(
        "UPDATE sessions_unified_unifiedsession SET version = version + 1, "
        "expires_at = now() - interval '1 second' WHERE id = %s",
        shopper.id,
    )


@pytest.fixture
def ana(site: str) -> Shopper:
    return Shopper.start(site)


def test_create_answers_201_with_the_session_at_the_shops_prices(site: str) -> None:
    body = {
        "email": " ana@example.org ",
        "customer": CUSTOMER,
        "products": [{"id": "SOIL", "quantity": 2}, {"id": "POT", "quantity": 3}],
        "metadata": {"utm": {"source": "mail"}, "n": 1.5, "list": [1, None, True]},
    }

    created = Caller(base=site).send("POST", "/api/session/create", body)

    assert created.status == 201
    session = created.json
    assert re.fullmatch(r"ws_[0-9a-z]{8,9}_[0-9a-z]{25}", session["id"])
    assert session["email"] == "ana@example.org"
    assert session["customer"] == CUSTOMER
    assert session["metadata"] == body["metadata"]
    assert session["status"] == "pending"
    assert session["currentStep"] == "checkout"
    assert session["products"] == [
        {"id": "SOIL", "name": "Living Soil 5L", "price": 12.5, "quantity": 2},
        {"id": "POT", "name": "Clay Pot", "price": 0.1, "quantity": 3},
    ]
    assert session["amount"] == 25.3
    assert b'"amount":25.30,' in created.body
    assert session["currency"] == "USD"
    assert session["transactionId"] is None
    assert session["upsells"] == {"accepted": [], "declined": [], "details": {}}
    assert session["version"] == 1
    life = datetime.fromisoformat(session["expiresAt"]) - datetime.fromisoformat(
        session["createdAt"]
    )
    assert life == timedelta(hours=24)


def test_create_sets_headers_and_the_cookie(site: str) -> None:
    body = {"email": "ana@example.org", "products": SOIL}

    created = Caller(base=site).send("POST", "/api/session/create", body)

    assert created.headers["ETag"] == '"1"'
    assert created.headers["Location"] == f"/api/session/{created.json['id']}"
    assert created.headers["Cache-Control"] == "no-store"
    assert created.headers["Content-Type"] == "application/json"
    (header,) = created.headers.get_all("Set-Cookie")
    assert len(header) <= 4096
    (cookie,) = SimpleCookie(header).values()
    assert cookie.key == get_conf().COOKIE_NAME == "funnel_session"
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert cookie["domain"] == ""
    assert 47 * 3600 < int(cookie["max-age"]) <= 48 * 3600
    assert cookie.value.count(".") == 4


def test_the_cookie_and_the_same_token_as_bearer_open_the_session(ana: Shopper) -> None:
    by_cookie = ana.get()
    by_bearer = Caller(base=ana.base).send("GET", ana.path, Authorization=f"Bearer {ana.token}")

    assert by_cookie.status == by_bearer.status == 200
    assert by_cookie.json == by_bearer.json
    assert by_cookie.json["id"] == ana.id
    assert by_cookie.headers["ETag"] == '"1"'
    assert by_cookie.headers["Cache-Control"] == "no-store"


def test_what_opens_a_card_never_leaves_the_server(ana: Shopper) -> None:
    ana.pay()

    session = ana.get()

    assert b"vault" not in session.body.lower()
    assert b"paymentToken" not in session.body
    assert session.json["transactionId"]


def test_if_none_match_answers_304_only_for_the_present_version(ana: Shopper) -> None:
    same = ana.get(If_None_Match='"1"')
    among = ana.get(If_None_Match='"7", W/"1"')
    other = ana.get(If_None_Match='"2"')

    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", '"1"')
    assert among.status == 304
    assert other.status == 200


def test_head_answers_as_get_without_a_body(ana: Shopper) -> None:
    answer = ana.send("HEAD", ana.path)

    assert (answer.status, answer.body, answer.headers["ETag"]) == (200, b"", '"1"')


def test_patch_changes_only_the_named_fields(ana: Shopper) -> None:
    ana.patch({"metadata": {"a": 1, "b": {"c": 2}}})

    changed = ana.patch(
        {"email": "bea@example.org", "customer": CUSTOMER, "metadata": {"a": None, "d": 3}}
    )

    assert changed.status == 200
    assert changed.json["email"] == "bea@example.org"
    assert changed.json["customer"] == CUSTOMER
    assert changed.json["metadata"] == {"b": {"c": 2}, "d": 3}
    assert changed.json["amount"] == 25
    assert changed.json["version"] == 3
    assert changed.headers["ETag"] == '"3"'
    assert ana.get().json == changed.json


def test_patch_prices_products_anew_before_payment(ana: Shopper) -> None:
    changed = ana.patch({"products": [{"id": "SEED-1", "quantity": 1}]})

    assert changed.json["amount"] == 19.99
    assert changed.json["products"][0]["price"] == 19.99


def test_a_patch_that_changes_nothing_makes_no_version(ana: Shopper) -> None:
    assert ana.patch({"email": "ana@example.org"}).json["version"] == 1
    assert ana.patch({}).json["version"] == 1
    assert ana.patch({"currentStep": "checkout"}).json["version"] == 1


def test_if_match_is_honoured(ana: Shopper) -> None:
    first = ana.patch({"metadata": {"n": 1}}, If_Match='"1"')
    stale = ana.patch({"metadata": {"n": 2}}, If_Match='"1"')
    anything = ana.patch({"metadata": {"n": 3}}, If_Match="*")
    weak = ana.patch({"metadata": {"n": 4}}, If_Match='W/"3"')
    garbage = [
        ana.patch({"metadata": {"n": 5}}, If_Match=value)
        for value in ("3", '"x"', '"-3"', '"³"'.encode().decode("latin-1"), '"' + "9" * 40 + '"')
    ]

    assert first.status == 200
    assert stale.is_problem(412, "version_conflict")
    assert anything.status == 200
    assert weak.status == 412
    assert [each.status for each in garbage] == [412] * 5
    assert ana.get().json["metadata"] == {"n": 3}


def test_delete_answers_204_forgets_the_cookie_and_stays_deleted(ana: Shopper) -> None:
    stale = ana.send("DELETE", ana.path, If_Match='"9"')
    deleted = ana.send("DELETE", ana.path, If_Match='"1"')

    assert stale.is_problem(412, "version_conflict")
    assert (deleted.status, deleted.body) == (204, b"")
    (cookie,) = SimpleCookie(deleted.headers["Set-Cookie"]).values()
    assert (cookie.value, cookie["max-age"], cookie["httponly"]) == ("", "0", True)
    for answer in (
        ana.get(),
        ana.patch({"metadata": {}}),
        ana.send("DELETE", ana.path),
        ana.send("GET", f"{ana.path}/validate"),
        ana.send("POST", f"{ana.path}/extend"),
        ana.pay(),
        ana.answer("upsell-1-serum"),
    ):
        assert answer.is_problem(404, "session_not_found")


def test_validate_reports_health(ana: Shopper) -> None:
    ana.get()

    health = ana.send("GET", f"{ana.path}/validate")

    assert health.status == 200
    report = health.json
    assert report["id"] == ana.id
    flags = ("exists", "isExpired", "isSchemaValid", "isFlowValid", "tiersAgree")
    assert [report[name] for name in flags] == [True, False, True, True, True]
    assert report["problems"] == []
    assert {tier["name"] for tier in report["tiers"]} >= {"redis", "database"}


def test_validate_says_what_is_wrong_with_a_session(ana: Shopper) -> None:
    ana.get()
    sql(
        "UPDATE sessions_unified_unifiedsession SET current_step = 'upsell-9', email = 'x' "
        "WHERE id = %s",
        ana.id,
    )

    report = ana.send("GET", f"{ana.path}/validate").json

    assert report["isFlowValid"] is False
    assert report["tiersAgree"] is False
    assert any("current_step" in each for each in report["problems"])


def test_extend_moves_the_end_later_never_earlier_never_past_the_limit(ana: Shopper) -> None:
    path = f"{ana.path}/extend"
    limit = ana.get().json["expiresAt"]
    sql(
        "UPDATE sessions_unified_unifiedsession SET expires_at = expires_at - interval '20 h', "
        "version = version + 1 WHERE id = %s",
        ana.id,
    )

    hour = ana.send("POST", path, {"durationSeconds": 5 * 3600})
    less = ana.send("POST", path, {"durationSeconds": 60})
    month = ana.send("POST", path, {"durationSeconds": 30 * 24 * 3600})
    default = ana.send("POST", path)

    assert [each.status for each in (hour, less, month, default)] == [200] * 4
    assert hour.json["expiresAt"] < limit
    assert less.json["expiresAt"] == hour.json["expiresAt"]
    assert month.json["expiresAt"] == default.json["expiresAt"] == limit
    assert hour.headers["ETag"] == f'"{hour.json["version"]}"'


def test_an_expired_session_is_410_everywhere_but_says_so_in_validate(ana: Shopper) -> None:
    expire(ana)

    answers = [
        ana.send("POST", f"{ana.path}/extend"),
        ana.patch({"metadata": {"a": 1}}),
        ana.pay(),
        ana.answer("upsell-1-serum"),
        ana.get(),
    ]
    health = ana.send("GET", f"{ana.path}/validate")

    for answer in answers:
        assert answer.is_problem(410, "session_expired")
    assert health.status == 200
    assert health.json["isExpired"] is True


def test_a_session_that_expires_behind_warm_caches_is_410_within_the_bound(ana: Shopper) -> None:
    for _ in range(3):
        assert ana.get().status == 200
    expire(ana)

    assert ana.patch({"metadata": {"a": 1}}).status == 410
    assert ana.get().status == 410


def test_checkout_pays_once_and_says_what_comes_next(ana: Shopper) -> None:
    paid = ana.pay(key="k", customer=CUSTOMER)
    again = ana.pay(key="k", customer=CUSTOMER)
    other = ana.pay("tok_decline", key="k")
    newly = ana.pay("tok_decline", key="k2")

    assert paid.status == 200
    assert paid.headers["Content-Type"] == "application/json"
    assert paid.headers["Cache-Control"] == "no-store"
    assert paid.json["session"]["status"] == "processing"
    assert paid.json["session"]["currentStep"] == "upsell-1"
    assert paid.json["session"]["customer"] == CUSTOMER
    assert paid.json["next"] == {
        "step": "upsell-1",
        "url": "/upsell-1",
        "offers": ["upsell-1-serum", "upsell-1-bundle"],
    }
    assert (again.status, again.body) == (200, paid.body)
    assert other.is_problem(422, "idempotency_key_reused")
    assert newly.status == 200
    assert newly.json == paid.json


def test_a_declined_card_is_402_and_another_card_pays(ana: Shopper) -> None:
    declined = ana.pay("tok_decline", key="k")
    replayed = ana.pay("tok_decline", key="k")
    unknown_card = ana.pay("tok_nonsense")
    paid = ana.pay()

    assert declined.is_problem(402, "payment_declined")
    assert declined.json["session"]["status"] == "pending"
    assert declined.json["next"]["step"] == "checkout"
    assert (replayed.status, replayed.body) == (402, declined.body)
    assert unknown_card.is_problem(402, "payment_rejected")
    assert paid.status == 200


@pytest.mark.parametrize("card", ["tok_timeout_charged", "tok_timeout_uncharged"])
def test_an_unknown_outcome_is_202_and_holds_the_session(ana: Shopper, card: str) -> None:
    first = ana.pay(card, key="k")
    same = ana.pay(card, key="k")
    newer = ana.pay(key="k2")
    expire(ana)

    deleted = ana.send("DELETE", ana.path)
    alive = ana.get()

    for answer in (first, same):
        assert answer.status == 202
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json["next"]["step"] == "processing"
        assert b"no payment" not in answer.body.lower()
    assert newer.is_problem(409, "charge_in_flight")
    assert int(newer.headers["Retry-After"]) >= 1
    assert deleted.is_problem(409, "session_held")
    assert alive.status == 200
    assert alive.json["status"] == "processing"


def test_upsells_are_accepted_declined_and_end_at_success(ana: Shopper) -> None:
    ana.pay()

    taken = ana.answer("upsell-1-serum")
    first_no = ana.answer("upsell-2-lamp", "decline")
    second_no = ana.answer("upsell-2-subscription", "decline")

    assert taken.status == first_no.status == second_no.status == 200
    assert taken.json["session"]["upsells"]["accepted"] == ["upsell-1-serum"]
    detail = taken.json["session"]["upsells"]["details"]["upsell-1-serum"]
    assert (detail["amount"], detail["currency"]) == (29.99, "USD")
    assert taken.json["next"]["step"] == "upsell-2"
    assert first_no.json["next"]["offers"] == ["upsell-2-subscription"]
    assert second_no.json["next"] == {"step": "success", "url": "/success", "offers": []}
    assert second_no.json["session"]["status"] == "completed"


def test_bumps_are_charged_with_the_order_and_stay_after_a_decline(ana: Shopper) -> None:
    declined = ana.pay("tok_decline", bumps=["bump-labels"], cardFingerprint="f" * 128)
    paid = ana.pay()

    assert declined.is_problem(402, "payment_declined")
    assert declined.json["next"] == {
        "step": "checkout",
        "url": "/checkout",
        "offers": ["bump-mister"],
    }
    assert [line["id"] for line in paid.json["session"]["products"]] == ["SOIL", "bump-labels"]
    assert paid.json["session"]["amount"] == 29.9


def test_a_bump_that_is_none_is_refused_by_name(ana: Shopper) -> None:
    answer = ana.pay(bumps=["bump-labels", "upsell-1-serum"])
    after = ana.answer("bump-labels")

    assert answer.is_problem(400, "invalid_products")
    assert answer.fields == ["bumps[1]"]
    assert after.is_problem(400, "unknown_offer")
    assert ana.get().json["status"] == "pending"


def test_bumps_are_products_too(ana: Shopper) -> None:
    changed = ana.patch({"products": [*SOIL, {"id": "bump-labels", "quantity": 1}]})
    twice = ana.patch({"products": [*SOIL, {"id": "bump-labels", "quantity": 2}]})
    alone = ana.patch({"products": [{"id": "bump-labels", "quantity": 1}]})

    assert changed.json["amount"] == 29.9
    assert twice.is_problem(400, "invalid_products")
    assert twice.fields == ["products[1].quantity"]
    assert alone.is_problem(400, "invalid_products")


def test_a_declined_extra_is_paid_with_another_card(ana: Shopper) -> None:
    ana.pay("tok_approve_upsell_decline")

    declined = ana.answer("upsell-1-serum")
    paid = ana.answer("upsell-1-serum", paymentToken="tok_approve", cardFingerprint="f1")
    next_one = ana.answer("upsell-2-lamp")

    assert declined.is_problem(402, "payment_declined")
    assert declined.json["next"]["offers"] == ["upsell-1-serum", "upsell-1-bundle"]
    assert paid.status == next_one.status == 200
    assert next_one.json["session"]["upsells"]["accepted"] == ["upsell-1-serum", "upsell-2-lamp"]
    assert next_one.json["next"]["step"] == "success"


def test_illegal_moves_are_409(ana: Shopper) -> None:
    illegal = [ana.patch({"currentStep": step}) for step in ("processing", "upsell-1", "success")]
    unknown = ana.patch({"currentStep": "upsell-9"})
    early = ana.answer("upsell-1-serum")
    ana.pay()
    backwards = ana.patch({"currentStep": "checkout"})
    skipping = ana.patch({"currentStep": "success"})
    products = ana.patch({"products": SOIL})
    onwards = ana.patch({"currentStep": "upsell-2"})

    for answer in (*illegal, unknown, backwards, skipping):
        assert answer.is_problem(409, "invalid_transition")
    assert early.is_problem(409, "offer_closed")
    assert products.is_problem(409, "payment_begun")
    assert onwards.status == 200
    assert onwards.json["currentStep"] == "upsell-2"


def test_a_completed_order_is_a_receipt(ana: Shopper) -> None:
    ana.pay()
    ana.patch({"currentStep": "upsell-2"})
    done = ana.patch({"currentStep": "success"})

    data = ana.patch({"email": "eve@example.org"})
    late = ana.answer("upsell-2-lamp")
    noted = ana.patch({"metadata": {"survey": "good"}})

    assert done.json["status"] == "completed"
    assert data.is_problem(409, "session_completed")
    assert late.is_problem(409, "offer_closed")
    assert noted.status == 200


def test_an_unknown_offer_is_refused_by_name(ana: Shopper) -> None:
    ana.pay()

    answer = ana.answer("upsell-9")

    assert answer.is_problem(400, "unknown_offer")
    assert answer.fields == ["offer"]


def test_the_schema_and_the_docs_are_served(site: str) -> None:
    caller = Caller(base=site)

    schema = caller.send("GET", "/api/schema")
    docs = caller.send("GET", "/api/docs")

    assert schema.status == docs.status == 200
    for path in ("session/create", "session/{session_id}", "checkout/process", "upsell/process"):
        assert f"/api/{path}".encode() in schema.body
