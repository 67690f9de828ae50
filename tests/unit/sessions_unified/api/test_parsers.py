"""Strict JSON: one object, bounded, without what a store or another parser reads differently."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import APIException, ParseError, ValidationError

from sessions_unified.api.parsers import MAX_BODY_BYTES, BodyTooLargeError, StrictJSONParser
from sessions_unified.card_data import find_card_data


def parse(raw: bytes) -> dict[str, Any]:
    return StrictJSONParser().parse(io.BytesIO(raw))


def refused_field(raw: bytes) -> str:
    with pytest.raises(ValidationError) as raised:
        parse(raw)
    assert isinstance(raised.value.detail, dict)
    (field,) = raised.value.detail
    return str(field)


plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e18, max_value=1e18)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(
    # One long number in ten may be a card's, which is refused.
    st.dictionaries(st.text("abcé"), plain_json, max_size=4).filter(
        lambda value: find_card_data(value) is None
    )
)
def test_a_plain_object_is_read_as_it_is(value: dict[str, Any]) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=200))
def test_r38_noise_is_a_client_error(raw: bytes) -> None:
    try:
        status = 200 if isinstance(parse(raw), dict) else 500
    except APIException as exc:
        status = exc.status_code

    assert status < 500


def test_numbers_that_no_store_keeps_are_refused_where_they_stand() -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "1e19", str(2**63), "9" * 5000):
        assert refused_field(b'{"a": [{"b": %s}]}' % number.encode()) == "a[0].b"
    assert parse(b'{"a": -9223372036854775807}') == {"a": -(2**63) + 1}


def test_a_path_stays_ascii_and_short() -> None:
    assert refused_field(b'{"\\ud800": {"b": 1}}') == "\\ud800"
    assert len(refused_field(b'{"' + b"k" * 9000 + b'": "\\u0000"}')) <= 200


def test_a_doubled_key_is_found_at_once_however_many_there_are() -> None:
    names = b",".join(b'"%x":0' % n for n in range(7000))
    body = b"{" + names + b',"1b57":0}'
    seconds = []

    for _ in range(3):
        began = time.thread_time()
        assert refused_field(body) == "1b57"
        seconds.append(time.thread_time() - began)

    assert min(seconds) < 0.1  # comparing each key with each takes many times as long


def test_depth_is_bounded() -> None:
    deep = b'{"a":' * 12 + b"1" + b"}" * 12
    deeper = b'{"a":' * 13 + b"1" + b"}" * 13

    assert parse(deep)
    assert refused_field(deeper).startswith("a.a.a")
    with pytest.raises(ParseError, match="nested deeper"):
        parse(b'{"a":' * 11_000)


def test_size_is_bounded_and_no_more_is_read_than_decides() -> None:
    stream = io.BytesIO(b'{"a": "' + b"x" * 1_000_000 + b'"}')

    with pytest.raises(BodyTooLargeError):
        StrictJSONParser().parse(stream)

    assert stream.tell() == MAX_BODY_BYTES + 1


@pytest.mark.parametrize("raw", [b"", b"[]", b"1", b'"x"', b"null", b"{", b"\xff", b"{}x"])
def test_anything_but_an_object_is_a_parse_error(raw: bytes) -> None:
    with pytest.raises(ParseError):
        parse(raw)
