"""R41: card numbers and codes sent everywhere, and found nowhere; vault ids and tokens likewise."""

from __future__ import annotations

import copy
import itertools
import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from funnel.payments.models import IdempotencyRecord
from funnel.payments.sandbox.models import SandboxCharge
from sessions_unified import get_manager, keys, tokens
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.models import SessionEvent
from tests.canaries import database_text, logged, redis_text
from tests.charges import answer, attempts, paid, pay, session_of, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from django.http import HttpResponse

pytestmark = pytest.mark.usefixtures("transactional_db", "redis_flush")

NUMBER = "4111111111111111"
WRITTEN = (
    "4111 1111 1111 1111",
    f"card {NUMBER}, ok?",
    "".join(chr(0xFF10 + int(d)) for d in NUMBER),
)
CODE = "canary-code"
TRACES = (NUMBER, "4111 1111", "\uff14\uff11\uff11\uff11", CODE)

ADDRESS = {
    "line1": "1 High St",
    "line2": "x",
    "city": "X",
    "state": "X",
    "zip": "1",
    "country": "US",
}
CUSTOMER = {"firstName": "Ana", "lastName": "M", "phone": "1", "address": ADDRESS}
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/session/create": {
        "email": "ana@example.org",
        "customer": CUSTOMER,
        "products": [{"id": "SOIL", "quantity": 1}],
        "metadata": {"note": "x", "deep": [{"n": 1}]},
    },
    "PATCH /api/session/{id}": {
        "email": "ana@example.org",
        "customer": CUSTOMER,
        "products": [{"id": "SOIL", "quantity": 1}],
        "metadata": {"note": "x", "deep": [{"n": 1}]},
        "currentStep": "checkout",
    },
    "POST /api/session/{id}/extend": {"durationSeconds": 60},
    "POST /api/checkout/process": {"paymentToken": "tok_approve", "customer": CUSTOMER},
    "POST /api/upsell/process": {"offer": "upsell-1-serum", "decision": "accept"},
}


def with_card_data(body: Any) -> Iterator[tuple[str, Any]]:
    """Yield the body with card data in one place after the other, and what that place is called."""
    spelled = itertools.cycle((*WRITTEN, int(NUMBER)))
    objects = []
    for path in _places(body):
        yield _name(path), _with(body, path, next(spelled))
        if path[:-1] not in objects and isinstance(_at(body, path[:-1]), dict):
            objects.append(path[:-1])
            yield _name([*path[:-1], "cvv"]), _with(body, [*path[:-1], "cvv"], CODE)
            yield _name([*path[:-1], "cardNumber"]), _with(body, [*path[:-1], "cardNumber"], CODE)
            yield _name([*path[:-1], "[card number]"]), _with(body, [*path[:-1], NUMBER], 1)


def _places(value: Any) -> Iterator[list[Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        if isinstance(item, dict | list):
            yield from ([name, *rest] for rest in _places(item))
        else:
            yield [name]


def _at(body: Any, path: list[Any]) -> Any:
    for name in path:
        body = body[name]
    return body


def _with(body: Any, path: list[Any], value: Any) -> Any:
    changed = copy.deepcopy(body)
    _at(changed, path[:-1])[path[-1]] = value
    return changed


def _name(path: list[Any]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


@pytest.fixture
def kept(redis_client: redis.Redis) -> Iterator[list[HttpResponse]]:
    """Collect answers; at the end nothing of a canary is in them, the stores and the log."""
    answers: list[HttpResponse] = []
    with logged() as log, logged("lines") as lines:
        yield answers
    said = "\n".join(f"{each.content.decode()} {each.headers} {each.cookies}" for each in answers)
    places = {
        "answers": said,
        "database": database_text(),
        "redis": redis_text(redis_client),
        "log": log.getvalue(),
        "lines": lines.getvalue(),
    }
    assert answers
    assert "request_finished" in places["log"]
    for name, text in places.items():
        for trace in TRACES:
            assert trace not in text, name


def browser(session_id: str) -> Client:
    session = session_of(session_id)
    now = get_clock().now()
    client = Client()
    client.cookies[get_conf().COOKIE_NAME] = tokens.issue(
        session_id, now=now, expires_at=session.expires_at
    )
    return client


def send(client: Client, endpoint: str, session_id: str, body: Any, **headers: str) -> Any:
    method, _, path = endpoint.partition(" ")
    return client.generic(
        method,
        path.format(id=session_id),
        json.dumps(body),
        content_type="application/json",
        headers={"Idempotency-Key": "k1", **headers},
    )


@pytest.mark.parametrize("endpoint", BODIES)
def test_r41_the_api_refuses_card_data_in_every_field_and_names_it(
    endpoint: str, kept: list[HttpResponse]
) -> None:
    session_id = start()
    shopper = browser(session_id)

    for field, body in with_card_data(BODIES[endpoint]):
        refused = send(shopper, endpoint, session_id, body)

        kept.append(refused)
        assert refused.status_code == 400, (field, refused.content)
        assert refused.json()["code"] == "card_data_refused"
        assert [each["field"] for each in refused.json()["errors"]] == [field]
    assert session_of(session_id).version == 1


def test_r41_a_service_is_refused_too(kept: list[HttpResponse]) -> None:
    session_id = start()
    _, key = keys.create_key("crm", [keys.READ, keys.WRITE])
    body = {"metadata": {"note": NUMBER}}

    refused = send(
        Client(), "PATCH /api/session/{id}", session_id, body, Authorization=f"Api-Key {key}"
    )

    kept.append(refused)
    assert refused.json()["code"] == "card_data_refused"


def test_r41_python_callers_are_refused_too() -> None:
    from sessions_unified.exceptions import CardDataError

    session_id = start()
    for name, value in {
        "email": f"{NUMBER}@example.org",
        "customer": {"cvv": CODE},
        "products": [{"id": "A", "quantity": 1, "name": NUMBER}],
        "metadata": {"a": [int(NUMBER)]},
        "payment_token": NUMBER,
    }.items():
        with pytest.raises(CardDataError, match=f"^{name}"):
            get_manager().update_session(session_id, {name: value})
        with pytest.raises(CardDataError) if name != "payment_token" else pytest.raises(TypeError):
            get_manager().create_session(**{name: value})


def test_a_gateways_own_references_are_taken_as_they_are() -> None:
    session_id = start()

    changed = get_manager().update_session(session_id, {"transaction_id": NUMBER})

    assert changed.transaction_id == NUMBER


def test_r41_what_is_no_body_is_not_kept_either(kept: list[HttpResponse]) -> None:
    session_id = start()
    shopper = browser(session_id)
    body = BODIES["POST /api/checkout/process"]

    for spelled in (NUMBER, "4111-1111-1111-1111"):
        keyed = send(
            shopper, "POST /api/checkout/process", session_id, body, **{"Idempotency-Key": spelled}
        )
        kept.append(keyed)
        assert (keyed.status_code, keyed.json()["code"]) == (400, "idempotency_key_required")
        assert "card number" in keyed.json()["detail"]
        kept += [
            shopper.get(f"/api/session/{spelled}"),
            shopper.get(f"/{spelled}"),
            shopper.get(f"/s/{spelled}"),
            shopper.get(f"/success?card={spelled}"),
            shopper.get("/success", headers={"User-Agent": f"x {spelled}"}),
            send(shopper, "PATCH /api/session/{id}", session_id, {}, **{"If-Match": spelled}),
            send(shopper, "POST /api/webhooks/nmi", session_id, {"card": spelled}),
        ]
    double = f'{{"{NUMBER}": 1, "{NUMBER}": 2}}'
    kept.append(
        shopper.generic(
            "PATCH", f"/api/session/{session_id}", double, content_type="application/json"
        )
    )
    assert kept[-1].status_code == 400
    assert not IdempotencyRecord.objects.exists()


FORM = {
    "email": "ana@example.org",
    "first_name": "Ana",
    "line1": "1 High St",
    "city": "X",
    "zip": "10000",
    "country": "US",
    "payment_token": "tok_approve",
}


@pytest.mark.parametrize(
    "field",
    [*FORM, "phone", "last_name", "line2", "state", "key", "order", "cvv", "bump", NUMBER],
)
def test_r41_the_checkouts_form_refuses_it_says_so_and_shows_nothing_again(
    field: str, kept: list[HttpResponse]
) -> None:
    session_id = start()
    shopper = browser(session_id)
    page = shopper.get("/checkout")
    hidden = {"key": page.context["key"], "order": page.context["fingerprint"]}

    for written in WRITTEN:
        value = CODE if field == "cvv" else written
        refused = shopper.post("/checkout", FORM | hidden | {field: value})
        kept.append(refused)

        assert refused.status_code in (
            {303, 409, 422, 200} if field in {"key", "order", "bump"} else {422}
        )
        if field in {"email", "phone", "line1", "payment_token", "cvv", NUMBER}:
            assert "looks like a card number" in refused.content.decode()
    assert not attempts(session_id)


def test_r41_the_other_pages_forms_keep_nothing(kept: list[HttpResponse]) -> None:
    kept.append(Client().post("/start", {"SOIL": NUMBER, "SEED-1": "1", "cvv": CODE}))
    shopper = browser(paid())
    page = shopper.get("/upsell-1")
    hidden = {"key": page.context["key"], "order": page.context["fingerprint"]}

    for field in ("key", "order", "decision", "offer", "x"):
        sent = hidden | {"decision": "accept", "offer": "upsell-1-serum", field: WRITTEN[0]}
        kept.append(shopper.post("/upsell-1", sent))
        decline = hidden | {"decision": "decline", field: WRITTEN[1]}
        kept.append(shopper.post("/upsell-1", decline))
    assert all(each.status_code < 500 for each in kept)


def test_r41_staff_leave_none_behind(kept: list[HttpResponse]) -> None:
    session_id = start()
    root = Client()
    root.force_login(User.objects.create_superuser("root"))

    made = root.post(
        "/admin/sessions_unified/servicekey/add/", {"name": NUMBER, "scopes": ["sessions:read"]}
    )
    acted = root.post(
        f"/admin/sessions_unified/unifiedsession/{session_id}/act/extend/",
        {"confirmed": "1", "hours": NUMBER},
    )

    assert b"looks like a card number" in made.content
    assert acted.status_code == 200
    kept += [
        root.get("/admin/sessions_unified/unifiedsession/nothing/", {"q": NUMBER}),
        root.get(f"/admin/sessions_unified/unifiedsession/{NUMBER}/change/"),
    ]


def test_r41_vault_ids_and_payment_tokens_are_in_no_answer_event_log_or_cookie(
    redis_client: redis.Redis,
) -> None:
    answers: list[Any] = []
    with logged() as log:
        session_id = start()
        get_manager().update_session(session_id, {"payment_token": "tok_canary"})
        answers.append(browser(session_id).get(f"/api/session/{session_id}"))
        before = database_text() + redis_text(redis_client)
        answers.append(pay(session_id, "tok_approve"))
        vault = str(attempts(session_id)[0].vault_id)
        answers.append(answer(session_id, "upsell-1-serum"))
        shopper = browser(session_id)
        root = Client()
        root.force_login(User.objects.create_superuser("root"))
        answers += [
            shopper.get(f"/api/session/{session_id}"),
            shopper.get(f"/api/session/{session_id}/validate"),
            shopper.get("/upsell-2"),
            shopper.get("/success"),
            root.get(f"/admin/sessions_unified/unifiedsession/{session_id}/change/"),
            root.get("/admin/funnel/chargeattempt/"),
            root.get(f"/admin/funnel/chargeattempt/{attempts(session_id)[0].pk}/change/"),
        ]
        out = StringIO()
        call_command("inspect_session", session_id, "--show-pii", stdout=out)

    said = "".join(_text(each) for each in answers) + out.getvalue()
    books = SandboxCharge._meta.db_table
    stored = database_text(without=(books,)) + redis_text(redis_client)
    assert session_of(session_id).vault_id == vault
    assert "sealed:" in stored
    assert "tok_canary" not in before
    assert session_of(session_id).payment_token is None
    for secret in (vault, "tok_canary", "tok_approve"):
        assert secret not in stored
        assert secret not in log.getvalue()
        assert secret not in said.replace('value="tok_approve"', "")
    assert SessionEvent.objects.filter(kind="upsell_succeeded").exists()


def _text(answered: Any) -> str:
    if hasattr(answered, "content"):
        return f"{answered.content.decode()} {answered.headers} {answered.cookies}"
    return str(answered.body.decode())
