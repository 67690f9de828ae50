"""R38: bad input to every endpoint, over real HTTP: a 4xx problem that names the field."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.live_site import PROBLEM, SOIL, Answer, Caller, Shopper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Send = Callable[..., Answer]

EMAIL = "ana@example.org"
ADDRESS = {"line1": "Main St 1", "city": "Köln", "zip": "50667", "country": "DE"}
CUSTOMER = {"firstName": "Ana", "lastName": "M", "address": ADDRESS}
CREATE = {"email": EMAIL, "products": SOIL}
CHECKOUT = {"paymentToken": "tok_approve"}
UPSELL = {"offer": "upsell-1-serum", "decision": "accept"}
ENDPOINTS = ("create", "patch", "extend", "checkout", "upsell")
SAMPLES: dict[str, dict[str, Any]] = {
    "create": CREATE,
    "patch": {"email": EMAIL},
    "extend": {"durationSeconds": 60},
    "checkout": CHECKOUT,
    "upsell": UPSELL,
}


@pytest.fixture
def ana(site: str) -> Shopper:
    return Shopper.start(site)


def target(shopper: Shopper, endpoint: str) -> tuple[str, str, dict[str, str]]:
    return {
        "create": ("POST", "/api/session/create", {}),
        "patch": ("PATCH", shopper.path, {}),
        "extend": ("POST", f"{shopper.path}/extend", {}),
        "checkout": ("POST", "/api/checkout/process", {"Idempotency_Key": "k"}),
        "upsell": ("POST", "/api/upsell/process", {"Idempotency_Key": "k"}),
    }[endpoint]


def send(shopper: Shopper, endpoint: str, body: Any, **headers: str) -> Answer:
    method, path, more = target(shopper, endpoint)
    return shopper.send(method, path, body, **(more | headers))


def check(answer: Answer, *, status: int = 400, field: str | None = None) -> None:
    text = f"{answer.status} {answer.body[:600]!r}"
    assert answer.status == status, text
    assert answer.headers["Content-Type"] == PROBLEM, text
    assert answer.json["status"] == status, text
    assert answer.json["code"], text
    assert len(answer.body) < 20_000, text
    if field is not None:
        assert field in answer.fields, text


RAW: dict[str, tuple[bytes, int, str | None]] = {
    "nothing but a brace": (b"{", 400, None),
    "no JSON": (b"email=ana", 400, None),
    "a trailing comma": (b'{"a": 1,}', 400, None),
    "a comment": (b'{"a": 1 /* c */}', 400, None),
    "single quotes": (b"{'a': 1}", 400, None),
    "two objects": (b"{}{}", 400, None),
    "Latin-1": ('{"email": "ü"}'.encode("latin-1"), 400, None),
    "UTF-16": ('{"email": "a"}'.encode("utf-16"), 400, None),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400, None),
    "a NUL byte": (b'{"email": "a\x00"}', 400, None),
    "an array": (b"[]", 400, None),
    "a string": (b'"text"', 400, None),
    "a number": (b"1", 400, None),
    "null": (b"null", 400, None),
    "NaN": (b'{"metadata": {"n": NaN}}', 400, "metadata.n"),
    "Infinity": (b'{"metadata": [Infinity]}', 400, "metadata[0]"),
    "-Infinity": (b'{"a": -Infinity}', 400, "a"),
    "an infinite exponent": (b'{"a": 1e999}', 400, "a"),
    "an integer of 401 digits": (b'{"a": [{"b": 1' + b"0" * 400 + b"}]}", 400, "a[0].b"),
    "an integer of 5000 digits": (b'{"a": -' + b"9" * 5000 + b"}", 400, "a"),
    "an integer of 65 bits": (b'{"a": 18446744073709551616}', 400, "a"),
    "a float beyond 64 bits": (b'{"metadata": {"a": 1e308}}', 400, "metadata.a"),
    "a key twice": (b'{"email": "a@b.de", "email": "c@d.de"}', 400, "email"),
    "a nested key twice": (b'{"metadata": {"k": 1, "k": 2}}', 400, "k"),
    "an escaped NUL": (b'{"email": "a\\u0000"}', 400, "email"),
    "a NUL in a key": (b'{"a\\u0000": 1}', 400, "a\\x00"),
    "a lone surrogate": (b'{"email": "\\ud800"}', 400, "email"),
    "a lone surrogate in a key": (b'{"\\udfff": 1}', 400, "\\udfff"),
    "a bomb of arrays": (b"[" * 60_000, 400, None),
    "a bomb of objects": (b'{"a":' * 12_000, 400, None),
    "a deep list": (b'{"a":' + b"[" * 30 + b"]" * 30 + b"}", 400, None),
    "ten megabytes": (b'{"email": "' + b"a" * 10_000_000 + b'"}', 413, None),
    "ten thousand products": (
        json.dumps({"products": [{"id": "SOIL", "quantity": 1}] * 10_000}).encode(),
        413,
        None,
    ),
    "a byte too many": (b'{"a": "' + b"a" * 65_536 + b'"}', 413, None),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_r38_a_body_that_is_no_plain_json_object_is_refused(ana: Shopper, endpoint: str) -> None:
    for body, status, field in RAW.values():
        check(send(ana, endpoint, body), status=status, field=field)
    assert ana.get().json["version"] == 1


TYPES = ("text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense", "")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_r38_another_content_type_is_415(ana: Shopper, endpoint: str) -> None:
    types = (*TYPES, "multipart/form-data; boundary=x", "application/json" + "x" * 4000)
    for content_type in types:
        check(send(ana, endpoint, SAMPLES[endpoint], Content_Type=content_type), status=415)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_r38_unknown_fields_are_refused_by_name(ana: Shopper, endpoint: str) -> None:
    for name in ("price", "amount", "id", "status", "vaultId", "__proto__", "email ", "Email", "ü"):
        body = SAMPLES[endpoint] | {name: 1}

        check(send(ana, endpoint, body), field="\\xfc" if name == "ü" else name)


def nested(field: str, value: Any) -> dict[str, Any]:
    """Return a body in which the field at ``a.b[0].c`` has a value of its own."""
    body: Any = {"email": EMAIL, "customer": json.loads(json.dumps(CUSTOMER)), "products": SOIL}
    body = json.loads(json.dumps(body))
    *way, last = field.replace("]", "").replace("[", ".").split(".")
    at = body
    for part in way:
        at = at[int(part)] if part.isdigit() else at[part]
    at[int(last) if last.isdigit() else last] = value
    return dict(body)


UNKNOWN = ("customer.vip", "customer.address.planet", "products[0].price", "products[0].name")
JUNK: tuple[Any, ...] = (None, True, 1, 1.5, [], {}, ["x"], {"x": 1}, "")
NO_TEXT = (None, True, 1, 1.5, [], {})
NO_NUMBER = (None, True, False, "2", "", 1.5, 2.0, [], {}, 0, -1, 10**9, 101)
WRONG: dict[str, tuple[Any, ...]] = {
    "email": (
        *(*JUNK, "ana", "a@", "@b.de", "a@b", "a b@c.de", "a@b.de\r\nBcc: x@y.de", "a@b..de"),
        *("a@" + "b" * 250 + ".de", "x" * 64_000, "Ana <ana@example.org>", "a@b.de,c@d.de"),
    ),
    "customer": (None, True, 1, "Ana", [], [CUSTOMER]),
    "customer.firstName": (*NO_TEXT, "", "   ", "x" * 101),
    "customer.lastName": (*NO_TEXT, "x" * 101),
    "customer.phone": (*NO_TEXT, "1" * 51),
    "customer.address": (None, True, 1, "Main St", [], [ADDRESS]),
    "customer.address.line1": (*NO_TEXT, "", "x" * 201),
    "customer.address.line2": (*NO_TEXT, "x" * 201),
    "customer.address.city": (*NO_TEXT, "", "x" * 101),
    "customer.address.state": (*NO_TEXT, "x" * 101),
    "customer.address.zip": (*NO_TEXT, "", "x" * 21),
    "customer.address.country": (*NO_TEXT, "", "de", "DEU", "Germany", "D1", "ДЕ"),
    "products": (None, True, 1, "SOIL", {}, [], SOIL * 51),
    "products[0]": (None, True, 1, "SOIL", [], [SOIL]),
    "products[0].id": (*NO_TEXT, "", "x" * 65, "NOPE", "soil", "SOIL'; DROP TABLE x"),
    "products[0].quantity": NO_NUMBER,
    "metadata": (None, True, 1, "x", [], {"a": "x" * 9000}, {"ü": "ü" * 4097}),
    **dict.fromkeys(UNKNOWN, (1, "x", None)),
}


def cases() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for field, values in WRONG.items():
        for value in values:
            yield field, value, nested(field, value)


def test_r38_create_names_every_wrong_field(ana: Shopper) -> None:
    for field, _, body in cases():
        check(send(ana, "create", body), field=field)


def test_r38_patch_names_every_wrong_field(ana: Shopper) -> None:
    for field, _, body in cases():
        root = field.replace("[", ".").split(".")[0]
        check(send(ana, "patch", {root: body[root]}), field=field)
    for value in NO_TEXT:
        check(send(ana, "patch", {"currentStep": value}), field="currentStep")
    assert ana.get().json["version"] == 1


def test_r38_checkout_names_every_wrong_field(ana: Shopper) -> None:
    for field, _, body in cases():
        if field.startswith("customer"):
            check(send(ana, "checkout", CHECKOUT | {"customer": body["customer"]}), field=field)
    for value in (*NO_TEXT, "", "x" * 256):
        check(send(ana, "checkout", {"paymentToken": value}), field="paymentToken")
    check(send(ana, "checkout", {}), field="paymentToken")
    for value in (None, True, "bump-labels", 5, {}, ["x"] * 51):
        check(send(ana, "checkout", CHECKOUT | {"bumps": value}), field="bumps")
    for value in (*NO_TEXT, "", "x" * 65, "no-such"):
        check(send(ana, "checkout", CHECKOUT | {"bumps": [value]}), field="bumps[0]")
    for value in (*NO_TEXT, "", "x" * 129):
        check(send(ana, "checkout", CHECKOUT | {"cardFingerprint": value}), field="cardFingerprint")
    assert ana.get().json["status"] == "pending"


def test_r38_upsell_names_every_wrong_field(ana: Shopper) -> None:
    for value in (*NO_TEXT, "", "x" * 65):
        check(send(ana, "upsell", UPSELL | {"offer": value}), field="offer")
    for value in (*NO_TEXT, "", "Accept", "yes", "accept ", "x" * 9000):
        check(send(ana, "upsell", UPSELL | {"decision": value}), field="decision")
    check(send(ana, "upsell", {}), field="decision")
    for value in (*NO_TEXT, "", "x" * 256):
        check(send(ana, "upsell", UPSELL | {"paymentToken": value}), field="paymentToken")
    for value in (*NO_TEXT, "", "x" * 129):
        check(send(ana, "upsell", UPSELL | {"cardFingerprint": value}), field="cardFingerprint")
    decline = UPSELL | {"decision": "decline", "paymentToken": "tok_approve"}
    check(send(ana, "upsell", decline), field="paymentToken")


def test_r38_extend_names_a_wrong_duration(ana: Shopper) -> None:
    for value in (None, True, "60", 60.5, [], {}, 0, -1, 10**15, 31 * 24 * 3600):
        check(send(ana, "extend", {"durationSeconds": value}), field="durationSeconds")


def test_missing_fields_are_named_together(ana: Shopper) -> None:
    answer = send(ana, "create", {"customer": {"address": {}}})

    check(answer)
    assert set(answer.fields) >= {
        "email",
        "products",
        "customer.firstName",
        "customer.address.line1",
        "customer.address.country",
    }


def test_an_order_beyond_what_the_shop_takes_is_refused(ana: Shopper) -> None:
    answer = send(ana, "create", CREATE | {"products": [{"id": "LAMP", "quantity": 100}] * 2})

    check(answer, field="products")


def test_metadata_is_bounded_with_what_is_there_already(ana: Shopper) -> None:
    first = ana.patch({"metadata": {"a": "x" * 5000}})
    second = ana.patch({"metadata": {"b": "x" * 5000}})

    assert first.status == 200
    check(second, field="metadata")
    assert ana.patch({"metadata": {"a": None, "b": "x" * 5000}}).status == 200


def test_internationalised_domains_are_fine(ana: Shopper) -> None:
    for email in ("ana@bücher.example", "ana@例え.jp", "ana@xn--bcher-kva.example", "o'x+y@a-b.co"):
        assert ana.patch({"email": email}).json["email"] == email


def test_numbers_and_text_at_the_edge_survive_every_tier(ana: Shopper) -> None:
    metadata = {
        "big": 2**63 - 1,
        "small": -(2**63) + 1,
        "float": 1.7976931348623157e18,
        "tiny": 5e-324,
        "exact": 0.1,
        "😀": "\U0001d518\u202e\u0001\x7f'\"\\<script>%s{}$",
        "deep": [[[[[[[{"a": None}]]]]]]],
    }
    stored = ana.patch({"metadata": metadata})
    fresh = ana.patch({"email": "bea@example.org"})

    assert stored.status == fresh.status == 200
    for _ in range(3):
        assert ana.get().json["metadata"] == metadata


KEYS = {
    "missing": None,
    "empty": "",
    "a space": "a b",
    "too long": "k" * 256,
    "Latin-1": "schlüssel".encode().decode("latin-1"),
    "a tab": "a\tb",
}


@pytest.mark.parametrize("endpoint", ["checkout", "upsell"])
def test_a_bad_idempotency_key_is_400(ana: Shopper, endpoint: str) -> None:
    method, path, _ = target(ana, endpoint)
    for key in KEYS.values():
        headers = {} if key is None else {"Idempotency-Key": key}
        caller = Caller(base=ana.base, headers=ana.headers | headers)

        answer = caller.send(method, path, SAMPLES[endpoint])

        assert answer.is_problem(400, "idempotency_key_required"), key


def test_the_longest_idempotency_key_is_fine(ana: Shopper) -> None:
    assert ana.pay(key="~" * 255).status == 200


IDS = (
    *(
        "x",
        "ws_",
        "ws_1",
        "ws_1_",
        "WS_1_a",
        "ws_1_A",
        "ws_1_%c3%bc",
        "ws_1_a%00",
        "ws_1_a%0d%0aX:y",
    ),
    *("ws_1_a/../x", "..%2f..%2fetc", "ws_1_a;b", "ws_1_a'--", "ws_" + "1" * 17 + "_a"),
    *("ws_1_" + "a" * 41, "ws_1_a/", "%ff%fe", "ws_1_a%0a", "ws_1_a b".replace(" ", "%20")),
)


def test_an_id_of_no_shape_is_404(ana: Shopper) -> None:
    for wrong in IDS:
        path = f"/api/session/{wrong}".encode().decode("latin-1")
        check(raw(ana, "GET", path), status=404)
        check(raw(ana, "DELETE", path), status=404)


def raw(caller: Caller, method: str, path: str, *lines: str) -> Answer:
    """Send bytes that no HTTP library would."""
    address = urlsplit(caller.base)
    head = [f"{method} {path} HTTP/1.1", f"Host: {address.netloc}", "Connection: close", *lines]
    head += [f"{name}: {value}" for name, value in caller.headers.items()]
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    top, _, body = received.partition(b"\r\n\r\n")
    first, *rest = top.decode("latin-1").split("\r\n")
    from email.message import Message

    headers = Message()
    for line in rest:
        name, _, value = line.partition(": ")
        headers[name] = value
    return Answer(status=int(first.split()[1]), headers=headers, body=body)


def test_another_method_is_405_and_says_which_are_allowed(ana: Shopper) -> None:
    paths = {
        "/api/session/create": "POST",
        ana.path: "GET, PATCH, DELETE",
        f"{ana.path}/validate": "GET",
        f"{ana.path}/extend": "POST",
        "/api/checkout/process": "POST",
        "/api/upsell/process": "POST",
    }
    for path, allowed in paths.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - set(
            allowed.split(", ")
        ):
            answer = ana.send(method, path)
            assert answer.is_problem(405, "method_not_allowed"), (method, path)
            assert allowed in answer.headers["Allow"]


def test_an_unknown_path_under_api_is_a_problem_too(ana: Shopper) -> None:
    for path in ("/api/", "/api/nope", "/api/session", "/api/session/create/", f"{ana.path}/x"):
        for method in ("GET", "POST", "DELETE"):
            assert ana.send(method, path).is_problem(404, "not_found")


def test_no_header_of_a_request_makes_a_500(ana: Shopper) -> None:
    odd = "ü\x7f{}[]();,\"'%s" + "\\"
    for name in (
        *("Accept", "Content-Type", "If-Match", "If-None-Match", "Origin", "Sec-Fetch-Site"),
        *("Authorization", "Cookie", "Idempotency-Key", "X-CSRFToken", "Referer", "X-Request-ID"),
        *("Accept-Language", "X-Forwarded-For", "X-HTTP-Method-Override", "Range", "Host"),
    ):
        for value in (odd, "x" * 7000, "", ",,,,", "a/b/c;;q=x", "-1", '"'):
            text = value.encode().decode("latin-1")
            caller = Caller(base=ana.base, headers=ana.headers | {name: text})
            for method, path, body in (
                ("GET", ana.path, None),
                ("POST", f"{ana.path}/extend", {}),
                ("POST", "/api/checkout/process", {}),
            ):
                assert caller.send(method, path, body).status < 500, (name, value, path)


CHARSETS = ("hex", "zip", "idna", "undefined", "unicode_escape", "utf-7", "utf-16", "latin-1")
PARTS = b'--x\r\nContent-Disposition: form-data; name="payment_token"\r\n\r\n\\ud800\r\n--x--\r\n'


def test_r38_no_charset_that_a_request_names_makes_a_500(ana: Shopper) -> None:
    cookie = f"funnel_csrf={'a' * 32}; {ana.headers['Cookie']}"  # else no form is even read
    for charset in CHARSETS:
        as_json = {"Content_Type": f"application/json; charset={charset}"}
        as_form = {"Content_Type": f"multipart/form-data; boundary=x; charset={charset}"}
        for path in ("/?a=%ff", "/admin/login/?next=/", f"{ana.path}?a=b"):
            assert ana.send("GET", path, **as_json).status == 200, (charset, path)
        check(send(ana, "checkout", {}, **as_json), field="paymentToken")
        check(ana.send("POST", "/api/webhooks/nmi?a=b", b"{}", **as_json), status=404)
        assert ana.send("POST", "/checkout", PARTS, Cookie=cookie, **as_form).status == 400
    assert ana.get().json["version"] == 1


def test_a_line_break_in_a_header_or_an_id_makes_no_header_of_ours(ana: Shopper) -> None:
    split = raw(ana, "GET", f"{ana.path}%0d%0aSet-Cookie:%20x=y")
    folded = raw(ana, "GET", ana.path, "If-None-Match: a\r\n b")

    assert split.status == 404
    assert "Set-Cookie" not in split.headers
    assert folded.status < 500


def test_a_body_in_chunks_is_refused_instead_of_ignored(ana: Shopper) -> None:
    address = urlsplit(ana.base)
    import http.client

    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    connection.request(
        "PATCH",
        ana.path,
        body=iter([b'{"email": ', b'"bea@example.org"}']),
        headers=ana.headers | {"Content-Type": "application/json"},
        encode_chunked=True,
    )
    response = connection.getresponse()
    answer = Answer(status=response.status, headers=response.headers, body=response.read())
    connection.close()

    assert answer.is_problem(411, "length_required")
    assert ana.get().json["email"] == EMAIL


def test_a_large_body_is_answered_even_if_the_client_will_hang_up(ana: Shopper) -> None:
    body = b'{"email": "' + b"a" * 10_000_000 + b'"}'
    stranger = Shopper(base=ana.base, id=ana.id)

    for endpoint in ENDPOINTS:
        check(send(ana, endpoint, body, Connection="close"), status=413)
    for endpoint in ENDPOINTS[1:]:
        check(send(stranger, endpoint, body, Connection="close"), status=401)
