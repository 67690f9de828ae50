"""Who may do what over the API: shoppers, services, staff, strangers and other origins."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from sessions_unified import keys
from sessions_unified.models import ServiceKey
from tests.live_site import SOIL, Answer, Caller, Shopper

if TYPE_CHECKING:
    from tests.conftest import StartWebServer

BODY = {"email": "bea@example.org", "products": SOIL}
CSRF = "a" * 32


@pytest.fixture
def ana(site: str) -> Shopper:
    return Shopper.start(site)


def everything(caller: Caller, session_id: str) -> dict[str, Answer]:
    """Call every endpoint that names a session; what would change it most comes last."""
    path = f"/api/session/{session_id}"
    return {
        "get": caller.send("GET", path),
        "head": caller.send("HEAD", path),
        "validate": caller.send("GET", f"{path}/validate"),
        "patch": caller.send("PATCH", path, {"metadata": {"a": 1}}),
        "extend": caller.send("POST", f"{path}/extend"),
        "delete": caller.send("DELETE", path),
    }


def paying(caller: Caller) -> list[Answer]:
    return [
        caller.send(
            "POST", "/api/checkout/process", {"paymentToken": "tok_approve"}, Idempotency_Key="k"
        ),
        caller.send(
            "POST",
            "/api/upsell/process",
            {"offer": "upsell-1-serum", "decision": "accept"},
            Idempotency_Key="k",
        ),
    ]


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer"},
        {"Authorization": "Api-Key nonsense"},
        {"Authorization": "Api-Key 01234567.nonsense"},
        {"Authorization": "Api-Key ÿ.ÿ".encode().decode("latin-1")},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Authorization": "Bearer " + base64.urlsafe_b64encode(b"[" * 1500).decode() + ".a.b.c.d"},
        {"Cookie": "funnel_session=nonsense"},
        {"Cookie": "funnel_session=" + base64.b64encode(b"[" * 1500).decode() + ".a.b.c.d"},
        {"Cookie": 'funnel_session="; sessionid=1; funnel_staff=1'},
    ],
)
def test_a_stranger_gets_401_and_is_told_how_to_sign_in(
    ana: Shopper, header: dict[str, str]
) -> None:
    stranger = Caller(base=ana.base, headers=header)

    answers = [*everything(stranger, ana.id).values(), *paying(stranger)]

    for answer in answers:
        assert answer.status == 401, answer.body
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert ana.id.encode() not in answer.body
    assert answers[0].json["code"] in {"not_authenticated", "invalid_token", "invalid_api_key"}
    assert ana.get().json["version"] == 1


def test_r36_no_shopper_meets_the_session_of_another(site: str) -> None:
    shoppers = [Shopper.start(site, email=f"{name}@example.org") for name in "abc"]
    bearers = [
        Caller(base=site, headers={"Authorization": f"Bearer {each.token}"}) for each in shoppers
    ]
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]

    for i, j in pairs:
        for caller in (shoppers[i], bearers[i]):
            for name, answer in everything(caller, shoppers[j].id).items():
                assert answer.status == 404, (name, answer.body)
                assert name == "head" or answer.json["code"] == "session_not_found"
                assert b"@example.org" not in answer.body

    for shopper, name in zip(shoppers, "abc", strict=True):
        alive = shopper.get().json
        assert (alive["version"], alive["email"]) == (1, f"{name}@example.org")


def test_another_shoppers_session_and_none_at_all_look_the_same(site: str) -> None:
    ana, bea = Shopper.start(site), Shopper.start(site)

    others = ana.send("GET", bea.path)
    nobodys = ana.send("GET", "/api/session/ws_mwq65nnl_53a2qdvf9x21eb8d9iqdb966d")

    assert (others.status, others.body) == (nobodys.status, nobodys.body)


def test_a_service_may_what_its_scopes_say(ana: Shopper) -> None:
    def caller(*scopes: str) -> Caller:
        _, text = keys.create_key(f"crm-{'-'.join(scopes)}", scopes)
        return Caller(base=ana.base, headers={"Authorization": f"Api-Key {text}"})

    reading = everything(caller(keys.READ), ana.id)
    writing = caller(keys.WRITE)
    both = everything(caller(keys.READ, keys.WRITE), ana.id)

    statuses = {name: answer.status for name, answer in reading.items()}
    assert statuses == {
        **dict.fromkeys(("get", "head", "validate"), 200),
        **dict.fromkeys(("patch", "extend", "delete"), 403),
    }
    assert reading["patch"].is_problem(403, "permission_denied")
    assert "sessions:write" in reading["patch"].json["detail"]
    assert writing.send("GET", ana.path).status == 403
    assert {name: answer.status for name, answer in both.items()} == {
        **dict.fromkeys(("get", "head", "validate", "patch", "extend"), 200),
        "delete": 204,
    }
    assert "Set-Cookie" not in both["delete"].headers


def test_a_service_reads_the_personal_data_it_works_with_but_pays_for_nobody(ana: Shopper) -> None:
    _, text = keys.create_key("crm", keys.SCOPES)
    service = Caller(base=ana.base, headers={"Authorization": f"Api-Key {text}"})

    assert service.send("GET", ana.path).json["email"] == "ana@example.org"
    for answer in paying(service):
        assert answer.is_problem(403, "permission_denied")


def test_a_key_that_expired_or_was_revoked_opens_nothing(ana: Shopper) -> None:
    key, text = keys.create_key("crm", keys.SCOPES)
    service = Caller(base=ana.base, headers={"Authorization": f"Api-Key {text}"})
    past = datetime.now(UTC) - timedelta(seconds=5)

    before = service.send("GET", ana.path)
    ServiceKey.objects.filter(pk=key.pk).update(revoked_at=past)
    revoked = service.send("GET", ana.path)
    ServiceKey.objects.filter(pk=key.pk).update(revoked_at=None, expires_at=past)
    expired = service.send("GET", ana.path)

    assert before.status == 200
    assert revoked.is_problem(401, "invalid_api_key")
    assert expired.is_problem(401, "invalid_api_key")


def staff(site: str, *permissions: str, **flags: bool) -> Caller:
    """Return a caller with the Django login of a staff member."""
    user = User.objects.create_user(
        f"staff-{User.objects.count()}", password="x", **({"is_staff": True} | flags)
    )
    names = [name.partition(".")[2] for name in permissions]
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="sessions_unified", codename__in=names)
    )
    client = Client()
    client.force_login(user)
    login = client.cookies["funnel_staff"].value
    cookie = f"funnel_staff={login}; funnel_csrf={CSRF}"
    return Caller(base=site, headers={"Cookie": cookie})


VIEW, CHANGE, DELETE = (
    f"sessions_unified.{name}_unifiedsession" for name in ("view", "change", "delete")
)
PII = "sessions_unified.view_pii"


def test_staff_see_personal_data_only_with_the_permission_for_it(site: str) -> None:
    ana = Shopper.start(
        site,
        customer={"firstName": "Ana", "lastName": "Gómez", "phone": "0301234"},
        metadata={"note": "canary"},
    )

    masked = staff(site, VIEW).send("GET", ana.path)
    shown = staff(site, VIEW, PII).send("GET", ana.path)

    assert masked.status == shown.status == 200
    assert masked.json["email"] == "a•••@example.org"
    for secret in ("Ana", "Gómez", "0301234", "canary", "ana@"):
        assert secret not in masked.body.decode()
    assert masked.json["amount"] == 25
    assert shown.json["email"] == "ana@example.org"
    assert shown.json["customer"]["lastName"] == "Gómez"


def test_staff_may_what_their_permissions_say(ana: Shopper) -> None:
    nothing = staff(ana.base)
    viewer = staff(ana.base, VIEW)
    token = {"X-CSRFToken": CSRF}
    editor = staff(ana.base, CHANGE)
    editor.headers |= token

    assert nothing.send("GET", ana.path).is_problem(403, "permission_denied")
    assert viewer.send("PATCH", ana.path, {"metadata": {}}, **token).status == 403
    changed = editor.send("PATCH", ana.path, {"metadata": {"vip": True}})
    assert changed.status == 200
    assert changed.json["metadata"] == {"vip": "•••"}
    assert editor.send("DELETE", ana.path).is_problem(403, "permission_denied")
    deleter = staff(ana.base, DELETE)
    assert deleter.send("DELETE", ana.path, **token).status == 204


def test_staff_need_the_csrf_token_for_unsafe_requests(ana: Shopper) -> None:
    editor = staff(ana.base, VIEW, CHANGE, DELETE)

    without = editor.send("PATCH", ana.path, {"metadata": {}})
    wrong = editor.send("DELETE", ana.path, X_CSRFToken="b" * 32)
    as_form = editor.send(
        "POST", f"{ana.path}/extend", b"a=b", Content_Type="application/x-www-form-urlencoded"
    )
    as_upload = editor.send(
        "POST",
        f"{ana.path}/extend",
        b"--x\r\n\r\n\r\n--x--",
        Content_Type="multipart/form-data; boundary=x",
    )

    for answer in (without, wrong):
        assert answer.is_problem(403, "permission_denied")
    for answer in (as_form, as_upload):
        assert answer.is_problem(415, "unsupported_media_type")
    assert editor.send("GET", ana.path).json["version"] == 1


@pytest.mark.parametrize("flags", [{"is_staff": False}, {"is_active": False}])
def test_a_login_that_is_not_active_staff_is_nobody(ana: Shopper, flags: dict[str, bool]) -> None:
    user = staff(ana.base, VIEW, CHANGE, **flags)

    assert user.send("GET", ana.path).is_problem(401, "not_authenticated")


def test_staff_pay_for_nobody(ana: Shopper) -> None:
    member = staff(ana.base, VIEW, CHANGE)
    member.headers["X-CSRFToken"] = CSRF

    for answer in paying(member):
        assert answer.is_problem(403, "permission_denied")


ELSEWHERE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://["},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "file://"},
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
]


@pytest.mark.parametrize("headers", ELSEWHERE)
def test_unsafe_requests_of_another_origin_with_our_cookie_are_refused(
    ana: Shopper, headers: dict[str, str]
) -> None:
    elsewhere = Caller(base=ana.base, headers=ana.headers | headers)

    answers = everything(elsewhere, ana.id)
    created = elsewhere.send("POST", "/api/session/create", BODY)

    for name in ("patch", "extend", "delete"):
        assert answers[name].is_problem(403, "cross_origin")
    assert answers["get"].status == answers["validate"].status == 200
    assert created.is_problem(403, "cross_origin")
    assert "Set-Cookie" not in created.headers
    for answer in paying(elsewhere):
        assert answer.is_problem(403, "cross_origin")
    assert ana.get().json["version"] == 1


def test_unsafe_requests_of_our_own_pages_are_answered(ana: Shopper) -> None:
    for headers in (
        {"Origin": ana.base},
        {"Origin": ana.base, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        ours = Caller(base=ana.base, headers=ana.headers | headers)
        assert ours.send("PATCH", ana.path, {"metadata": {}}).status == 200
        assert ours.send("POST", "/api/session/create", BODY).status == 201


def test_a_bearer_or_a_key_is_no_cookie_so_its_origin_does_not_matter(ana: Shopper) -> None:
    _, text = keys.create_key("app", keys.SCOPES)
    elsewhere = {"Origin": "capacitor://localhost", "Sec-Fetch-Site": "cross-site"}
    bearer = Caller(base=ana.base, headers=elsewhere | {"Authorization": f"Bearer {ana.token}"})
    service = Caller(base=ana.base, headers=elsewhere | {"Authorization": f"Api-Key {text}"})

    assert bearer.send("PATCH", ana.path, {"metadata": {"a": 1}}).status == 200
    assert service.send("PATCH", ana.path, {"metadata": {"a": 2}}).status == 200
    assert service.send("POST", "/api/session/create", BODY).status == 201
    assert bearer.send("DELETE", ana.path).status == 204


def test_an_explicit_credential_counts_before_the_cookie(site: str) -> None:
    ana, bea = Shopper.start(site), Shopper.start(site)
    both = Caller(base=site, headers=ana.headers | {"Authorization": f"Bearer {bea.token}"})
    bad = Caller(base=site, headers=ana.headers | {"Authorization": "Bearer nonsense"})

    assert both.send("GET", bea.path).status == 200
    assert both.send("GET", ana.path).status == 404
    assert bad.send("GET", ana.path).is_problem(401, "invalid_token")


def test_r34_a_rotated_key_issues_the_old_opens_a_retired_one_fails(
    web_server: StartWebServer,
) -> None:
    old = os.environ["SESSION_TOKEN_KEYS"]
    new = "new:" + base64.urlsafe_b64encode(os.urandom(32)).decode()
    before = web_server(SITE_URL="https://shop.example")
    ana = Shopper.start(before)

    rotated = web_server(SITE_URL="https://shop.example", SESSION_TOKEN_KEYS=f"{new},{old}")
    retired = web_server(SITE_URL="https://shop.example", SESSION_TOKEN_KEYS=new)
    bea = Shopper.start(rotated)

    header = base64.urlsafe_b64decode(bea.token.split(".")[0] + "==")
    assert b'"kid":"new"' in header.replace(b" ", b"")
    assert Caller(base=rotated, headers=ana.headers).send("GET", ana.path).status == 200
    assert Caller(base=retired, headers=bea.headers).send("GET", bea.path).status == 200
    assert Caller(base=retired, headers=ana.headers).send("GET", ana.path).status == 401
    assert Caller(base=before, headers=bea.headers).send("GET", bea.path).status == 401
