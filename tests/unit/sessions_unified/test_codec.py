"""How a copy is written into Redis: compact, versioned, and never half understood."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_unified.tiers import codec
from sessions_unified.tiers.base import Copy
from tests.sessions import snapshot

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

AT = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
RICH = snapshot(
    id="ws_1_a",
    version=7,
    email="ana@exämple.org",
    customer={"firstName": "Zoë", "address": {"lines": ["1 High St", None]}},
    products=[{"id": "SOIL", "quantity": 2, "name": "Soil", "price": "12.50"}],
    amount="25.00",
    vault_id="v-canary",
    payment_token="tok-canary",
    transaction_id="t1",
    upsells={"accepted": ["a"], "declined": ["b"], "details": {"a": {"amount": 1.5}}},
    metadata={"utm": ["x", {"y": True}], "big": 2**40},
)

# As the first format wrote it: a map of the fields that are not the default.
WRITTEN_BY_FORMAT_1 = (
    b"C" + b"0000000000000007" + b"1767270615123456" + b"1" + msgspec.msgpack.encode(RICH)
)


def test_a_copy_comes_back_whole() -> None:
    copy = Copy(RICH, AT)

    assert codec.decode(codec.encode(copy)) == copy


def test_the_header_says_kind_version_time_and_format_in_digits() -> None:
    value = codec.encode(Copy(RICH, AT)) or b""

    assert value[:34] == b"C" + b"0000000000000007" + b"1767270615123456" + b"2"


def test_it_is_smaller_than_the_fields_with_their_names() -> None:
    # Format 1 did not seal the vault id; so that names are compared, not encryption.
    unsealed = msgspec.structs.replace(RICH, vault_id=None, payment_token=None)
    by_name = b"C" + b"0" * 33 + msgspec.msgpack.encode(unsealed)

    value = codec.encode(Copy(unsealed, AT)) or b""

    assert len(value) < 0.8 * len(by_name)


def test_what_opens_a_card_is_sealed() -> None:
    value = codec.encode(Copy(RICH, AT)) or b""

    assert value.count(b"sealed:") == 2
    assert b"canary" not in value


def test_a_copy_whose_key_is_missing_is_a_miss(settings: SettingsWrapper) -> None:
    value = codec.encode(Copy(RICH, AT))
    keys = {"another": base64.urlsafe_b64encode(b"k" * 32).decode()}

    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"ENCRYPTION_KEYS": keys}

    assert codec.decode(value) is None


def test_the_format_before_is_still_read() -> None:
    assert codec.decode(WRITTEN_BY_FORMAT_1) == Copy(RICH, AT)


@pytest.mark.parametrize("digit", [b"0", b"3", b"9", b"x", b""])
def test_an_unknown_format_is_a_miss(digit: bytes) -> None:
    value = codec.encode(Copy(RICH, AT)) or b""

    assert codec.decode(value[:33] + digit + value[34:]) is None


@pytest.mark.parametrize("value", [None, b"", b"L" + b"a" * 32, b"C", b"X" * 60])
def test_what_is_no_copy_is_a_miss(value: bytes | None) -> None:
    assert codec.decode(value) is None


def test_a_copy_with_a_field_too_few_or_too_many_is_a_miss() -> None:
    row = msgspec.structs.astuple(RICH)
    header = (codec.encode(Copy(RICH, AT)) or b"")[:34]

    assert codec.decode(header + msgspec.msgpack.encode(row[:-1])) is None
    assert codec.decode(header + msgspec.msgpack.encode((*row, 1))) is None


def test_an_integer_beyond_64_bits_is_not_written() -> None:
    assert codec.encode(Copy(snapshot(metadata={"n": 2**64}), AT)) is None


@given(st.binary(max_size=200), st.sampled_from([b"1", b"2"]))
def test_any_bytes_are_a_copy_or_a_miss(body: bytes, digit: bytes) -> None:
    value = b"C" + b"0" * 32 + digit + body

    decoded = codec.decode(value)

    assert decoded is None or isinstance(decoded, Copy)


@given(st.integers(0, 500))
def test_a_copy_cut_short_is_a_miss(length: int) -> None:
    value = codec.encode(Copy(RICH, AT)) or b""

    assert codec.decode(value[: min(length, len(value) - 1)]) is None
