"""Session tokens: what opens, what does not, and that refusing is cheap."""

from __future__ import annotations

import base64
import gc
import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jws, jwt
from joserfc.jwk import OctKey, RSAKey

from sessions_unified import tokens
from sessions_unified.exceptions import InvalidTokenError
from sessions_unified.testing import FrozenClock

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLOCK = FrozenClock(NOW)
SESSION_ID = "ws_mwq65nnl_53a2qdvf9x21eb8d9iqdb966d"
OLD, NEW, FOREIGN = (
    base64.urlsafe_b64encode(bytes([n]) * 32).decode().rstrip("=") for n in range(1, 4)
)
KEY = OctKey.import_key(b"\x01" * 32)
HEADER = {"alg": "dir", "enc": "A256GCM", "kid": "old", "typ": tokens.TYPE}
ALL = jwe.JWERegistry(
    algorithms=[
        *("dir", "A128KW", "A256GCMKW", "PBES2-HS256+A128KW", "RSA-OAEP", "ECDH-ES"),
        *("A128GCM", "A256GCM", "A128CBC-HS256", "DEF"),
    ]
)


def with_keys(keys: dict[str, str]) -> Any:
    ours = {"TOKEN_ISSUER": "https://shop.example", "TOKEN_AUDIENCE": "funnel-session"}
    return override_settings(
        SESSIONS_UNIFIED=settings.SESSIONS_UNIFIED | ours | {"TOKEN_KEYS": keys}
    )


@pytest.fixture(autouse=True)
def keys() -> Any:
    with with_keys({"old": OLD}):
        yield


def claims(**changes: Any) -> dict[str, Any]:
    now = int(NOW.timestamp())
    return {
        "iss": "https://shop.example",
        "aud": "funnel-session",
        "sub": SESSION_ID,
        "iat": now,
        "exp": now + 3600,
    } | changes


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in claims().items() if key != name}


def sealed(
    body: Any = None, *, header: dict[str, Any] | None = None, key: Any = KEY, **changes: Any
) -> str:
    """Return a token as an attacker with our key, or a bug of ours, could make it."""
    plain = body if isinstance(body, bytes) else json.dumps(claims() if body is None else body)
    return jwe.encrypt_compact(
        (header or HEADER) | changes,
        plain if isinstance(plain, bytes) else plain.encode(),
        key,
        registry=ALL,
    )


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def with_header(header: Any, *, of: str | None = None) -> str:
    """Return a valid token whose header was replaced (so its tag no longer fits)."""
    return ".".join([b64(header), *(of or sealed()).split(".")[1:]])


def opens(token: str) -> bool:
    try:
        return tokens.open_token(token, clock=CLOCK) == SESSION_ID
    except InvalidTokenError:
        return False


def issue() -> str:
    return tokens.issue(SESSION_ID, now=NOW, expires_at=NOW + timedelta(hours=1))


def test_what_is_issued_opens_and_fits_a_cookie() -> None:
    token = issue()

    assert opens(token)
    assert len(token) < 512
    assert SESSION_ID not in token
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "==")) == HEADER


def test_two_tokens_of_one_session_never_look_alike() -> None:
    assert issue() != issue()


def test_the_helper_of_the_attacks_makes_a_valid_token() -> None:
    assert opens(sealed())


def test_a_tampered_token_is_refused_at_every_character() -> None:
    token = issue()
    for position, char in enumerate(token):
        other = "A" if char != "A" else "Q"
        tampered = token[:position] + other + token[position + 1 :]
        # The last characters of a segment may carry bits that no byte has.
        ends_segment = position + 1 == len(token) or token[position + 1] == "."
        assert ends_segment or not opens(tampered), position


RSA = RSAKey.generate_key(2048)
SIGNED = jwt.encode({"alg": "HS256", "typ": tokens.TYPE, "kid": "old"}, claims(), KEY)
ATTACKS = {
    "empty": "",
    "dots": "....",
    "no JSON in the header": "e30x.a.b.c.d",
    "header of null": with_header(None),
    "header of a list": with_header([]),
    "header nested 1500 deep": b64(b"[" * 1500) + ".a.b.c.d",
    "header with an object bomb": b64(b'{"a":' * 250) + ".a.b.c.d",
    "header of a huge number": b64(b"1" * 1400) + ".a.b.c.d",
    "JWS instead of JWE": SIGNED,
    "JWS with four dots": f"{SIGNED}.x.y",
    "alg none": with_header(HEADER | {"alg": "none"}),
    "alg NoNe": with_header(HEADER | {"alg": "NoNe"}),
    "alg DIR": with_header(HEADER | {"alg": "DIR"}),
    "alg as a list": with_header(HEADER | {"alg": ["dir"]}),
    "alg missing": with_header({k: v for k, v in HEADER.items() if k != "alg"}),
    "alg A128KW": sealed(alg="A128KW", key=OctKey.import_key(b"\x01" * 16)),
    "alg A256GCMKW": sealed(alg="A256GCMKW"),
    "alg PBES2": sealed(alg="PBES2-HS256+A128KW", p2c=1000),
    "alg PBES2 of a billion rounds": with_header(
        HEADER | {"alg": "PBES2-HS256+A128KW", "p2s": "c2FsdA", "p2c": 10**9}
    ),
    "alg RSA-OAEP": sealed(alg="RSA-OAEP", key=RSA),
    "enc A128GCM": sealed(enc="A128GCM", key=OctKey.import_key(b"\x01" * 16)),
    "enc A128CBC-HS256": sealed(enc="A128CBC-HS256"),
    "zip": sealed(zip="DEF"),
    "zip bomb": sealed(b"{" + b" " * 500_000 + b"}", zip="DEF"),
    "jku": with_header(HEADER | {"jku": "https://evil.example/keys"}),
    "x5u": with_header(HEADER | {"x5u": "https://evil.example/cert"}),
    "jwk": with_header(HEADER | {"jwk": {"kty": "oct", "k": FOREIGN}}),
    "crit": with_header(HEADER | {"crit": ["exp"]}),
    "cty": sealed(cty="JWT"),
    "kid of another key": sealed(key=OctKey.import_key(b"\x03" * 32)),
    "kid unknown": sealed(kid="other"),
    "kid missing": with_header({k: v for k, v in HEADER.items() if k != "kid"}),
    "kid of a path": sealed(kid="../../../../dev/null"),
    "kid of SQL": sealed(kid="old' OR '1'='1"),
    "kid with NUL": sealed(kid="old\x00"),
    "kid of a number": with_header(HEADER | {"kid": 1}),
    "kid of an object": with_header(HEADER | {"kid": {"old": 1}}),
    "kid null": with_header(HEADER | {"kid": None}),
    "typ JWT": sealed(typ="JWT"),
    "typ in capitals": sealed(typ=tokens.TYPE.upper()),
    "typ missing": with_header({k: v for k, v in HEADER.items() if k != "typ"}),
    "iss of another shop": sealed(claims(iss="https://evil.example")),
    "iss missing": sealed(without("iss")),
    "aud of another service": sealed(claims(aud="admin")),
    "aud as a list": sealed(claims(aud=["funnel-session"])),
    "aud missing": sealed(without("aud")),
    "sub missing": sealed(without("sub")),
    "sub of no shape": sealed(claims(sub="admin")),
    "sub of a number": sealed(claims(sub=1)),
    "sub with a newline": sealed(claims(sub=SESSION_ID + "\n")),
    "expired": sealed(claims(exp=int(NOW.timestamp()))),
    "exp missing": sealed(without("exp")),
    "exp of text": sealed(claims(exp="9999999999")),
    "exp infinite": sealed(claims(exp=float("inf"))),
    "iat in the future": sealed(claims(iat=int(NOW.timestamp()) + 61)),
    "iat missing": sealed(without("iat")),
    "claims of a list": sealed([]),
    "claims of nothing": sealed(b""),
    "claims of no JSON": sealed(b"\xff\xfe"),
    "claims nested deep": sealed(b"[" * 1100),
    "a key in the second part": sealed().replace("..", ".AAAA.", 1),
    "a short tag": sealed()[:-8],
    "no tag": sealed().rpartition(".")[0] + ".",
    "no iv": ".".join([*sealed().split(".")[:2], "", *sealed().split(".")[3:]]),
    "JSON serialization": json.dumps(
        {
            "protected": sealed().split(".")[0],
            "iv": "....",
            "ciphertext": "",
            "tag": "",
        }
    ),
    "padding": sealed() + "==",
    "a newline": sealed() + "\n",
    "a space before": " " + sealed(),
    "not ASCII": "é" + sealed()[1:],
    "a surrogate": "\udcff" + sealed()[1:],
    "NUL": "\x00" + sealed()[1:],
    "huge": sealed() + "A" * 4096,
    "ten megabytes of dots": "." * 10_000_000,
    "one byte too long": sealed(claims(pad="x" * 1400)),
}


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Keep the garbage of the tests before from being collected in the time of this one."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("attack", ATTACKS)
def test_r31_r32_an_attack_is_refused_in_bounded_time(attack: str) -> None:
    began = time.thread_time()  # not the wall's: other processes come and go

    assert not opens(ATTACKS[attack])
    assert time.thread_time() - began < 0.1


def test_r33_truncated_anywhere_it_is_refused() -> None:
    token = issue()

    assert not any(opens(token[:length]) for length in range(len(token)))


@given(st.text(max_size=3000))
def test_r33_noise_is_refused(text: str) -> None:
    assert not opens(text)


@given(st.lists(st.binary(max_size=60), min_size=5, max_size=5))
def test_r33_noise_of_the_right_shape_is_refused(parts: list[bytes]) -> None:
    assert not opens(".".join(b64(part) for part in parts))


@given(st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists, max_leaves=5))
def test_r32_whatever_our_key_seals_that_is_no_claims_is_refused(body: Any) -> None:
    assert not opens(sealed(b"null" if body is None else body))


def test_r22_a_clock_may_differ_by_a_minute() -> None:
    assert opens(sealed(claims(iat=int(NOW.timestamp()) + 60)))


def test_r34_after_rotation_the_old_opens_the_new_issues_the_retired_fails() -> None:
    before = issue()
    with with_keys({"new": NEW, "old": OLD}):
        rotated = issue()
        assert opens(before)
        assert opens(rotated)
        assert not opens(sealed(kid="new"))
    with with_keys({"new": NEW}):
        assert opens(rotated)
        assert not opens(before)


def test_a_jws_signed_with_our_key_is_not_taken_for_a_token() -> None:
    compact = jws.serialize_compact({"alg": "HS256"}, json.dumps(claims()), KEY)

    assert not opens(compact)
    assert not opens(compact + "..")


def test_without_keys_nothing_is_issued_and_nothing_falls_back() -> None:
    with with_keys({}), pytest.raises(ImproperlyConfigured, match="TOKEN_KEYS"):
        issue()


@pytest.mark.parametrize("text", ["", "short", "!" * 43, secrets.token_urlsafe(33), "é" * 43])
def test_a_key_is_base64url_of_32_bytes_exactly(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64url|bytes|ASCII"):
        tokens.decode_key(text)


def test_a_token_outlives_the_session_by_the_grace() -> None:
    created = NOW - timedelta(hours=1)

    assert tokens.token_expiry(created, created, now=NOW) == created + timedelta(hours=48)
    extended = NOW + timedelta(days=9)
    assert tokens.token_expiry(created, extended, now=NOW) == extended + timedelta(days=1)
    # A held session outlives its limits: what is issued for it lives from now.
    late = NOW + timedelta(days=5)
    assert tokens.token_expiry(created, created, now=late) == late + timedelta(days=1)
