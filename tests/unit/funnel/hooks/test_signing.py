"""Signatures that any Standard Webhooks library verifies."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from funnel.hooks.signing import headers, parse_secrets

# What the libraries of the scheme test themselves with.
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = datetime.fromtimestamp(1614265330, UTC)


def test_a_signature_is_the_one_that_the_scheme_names() -> None:
    found = headers(parse_secrets(KEY), event_id=ID, at=AT, body=BODY)

    assert found == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_several_secrets_sign_in_their_order() -> None:
    other = f"whsec_{base64.b64encode(b'x' * 32).decode()}"
    both = headers(parse_secrets(f"{other},{KEY}"), event_id=ID, at=AT, body=BODY)

    first, second = both["webhook-signature"].split(" ")

    assert parse_secrets([other, KEY]) == parse_secrets(f" {other} , {KEY}")
    assert second == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert first.startswith("v1,")
    assert first != second


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "there is no secret"),
        ([], "there is no secret"),
        ("hunter2-hunter2-hunter2-hunter2", "does not begin with whsec_"),
        (["whsec_canary!!"], "is not base64"),
        ("whsec_Y2FuYXJ5", "is not of 24 to 64 bytes"),
        ([3], "does not begin with whsec_"),
    ],
)
def test_what_is_no_secret_is_refused_and_not_quoted(given: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        parse_secrets(given)

    assert "canary" not in str(refused.value)
    assert "hunter" not in str(refused.value)
    assert refused.value.__cause__ is None
