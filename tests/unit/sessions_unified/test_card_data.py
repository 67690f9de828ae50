"""Card data: what is found, what is not taken for it, and that hostile text costs little."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_unified import card_data
from sessions_unified.card_data import (
    REMOVED,
    find_card_data,
    is_number,
    is_secret_name,
    mask_card_data,
    mask_numbers,
    refuse_card_data,
)
from sessions_unified.exceptions import CardDataError, InvalidChangeError
from sessions_unified.snapshot import Product, freeze

VISA = "4111111111111111"

# The networks' published test numbers, one of each length that is issued.
NUMBERS = (
    *(VISA, "5555555555554444", "2223003122003222", "378282246310005", "30569309025904"),
    *("6011111111111117", "3530111333300000", "4222222222222", "6304000000000000"),
    *("4000000000000000006", "135410014004955"),
)


# Full-width, Arabic-Indic, double-struck, circled: the zero, or what is before the one.
SCRIPTS = (0xFF10, 0x0660, 0x1D7D8, 0x245F)


def in_script(zero: int) -> str:
    return "".join(chr(zero + int(digit)) for digit in VISA)


def with_check_digit(digits: str) -> str:
    """Return the digits with the one that makes them valid by Luhn, counted the long way."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if position % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return f"{digits}{-total % 10}"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_found_alone_and_within_text(number: str) -> None:
    assert find_card_data(number) == ""
    assert find_card_data(f"call me, my card is {number}.", "note") == "note"
    assert find_card_data(f"x{number}y") == ""


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "4111/1111/1111/1111",
        "4111_1111_1111_1111",
        "4111, 1111, 1111, 1111",
        "4111 - 1111 - 1111 - 1111",
        "4111\t1111\n1111\r\n1111",
        "4111\u00a01111\u20111111\u20141111",
        "4111\u200b1111\u200b1111\u200b1111",
        " ".join(VISA),
        "-".join(VISA),
        "41 11 11 11 11 11 11 11",
        "4111111111111 111",
        "3782 822463 10005",
        "4111 1111 1111 1111 12/27 123",
        "12 4111 1111 1111 1111",
        "1234 4111 1111 1111 1111 5678",
        "12/27 4111-11-11-1111-1111",
        "order 77: 4111111111111111 12/27",
        "Visa4111 1111 1111 1111",
        *(in_script(zero) for zero in SCRIPTS),
        '{"number": "4111111111111111"}',
        "https://shop.example/?n=4111111111111111&x=1",
        "4111111111111111@example.org",
    ],
)
def test_a_number_is_found_however_it_is_written(text: str) -> None:
    assert find_card_data(text) == ""
    assert find_card_data(mask_numbers(text, "[card]")) is None
    assert "[card]" in mask_numbers(text, "[card]")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",  # its check digit is wrong
        "411111111111",  # twelve digits
        VISA + VISA,  # a longer number
        with_check_digit("176373854212"),  # milliseconds
        with_check_digit("2026112115222"),
        f"2026-11-21 15:22:22.1{with_check_digit('2026112115222212')[-2:]}",
        f"+{with_check_digit('491512345678')}",
        f"+49 {with_check_digit('491512345678')[2:]}",
        with_check_digit("00491512345678"),
        "550e8400-e29b-41d4-a716-446655440000",
        f"00000000-0000-4000-{VISA[:4]}-{VISA[4:]}",  # a UUID
        "d41d8cd98f004111111111111111e842",
        "fs-0b4111111111111111aabbcc",
        "ws_mwqkioc6_40p6f1lhivd8szrkxxsdi1mfb",
        "GA1.1.987654321.1700000000",
        "52.52, 13.40",
    ],
)
def test_what_is_no_card_number_passes(text: str) -> None:
    assert find_card_data({"x": [text]}) is None
    assert mask_numbers(text) == text


@given(st.from_regex(r"[2-9][0-9]{11,17}", fullmatch=True).map(with_check_digit))
def test_whatever_is_valid_by_luhn_is_found(number: str) -> None:
    if number.startswith("20"):  # may be a date
        return

    assert find_card_data(number) == ""
    assert mask_numbers(number, "") == ""


@given(st.text(max_size=60))
def test_masked_text_has_nothing_left_and_other_text_is_kept(text: str) -> None:
    masked = mask_numbers(text, "[card]")

    assert find_card_data(masked) is None
    assert masked == text or find_card_data(text) == ""


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"customer": {"notes": ["a", VISA]}}, "customer.notes[1]"),
        ({"a": {VISA: 1}}, "a.[card number]"),
        ({"a": {f"my {VISA}": {"b": 1}}}, "a.my [card number]"),
        ({"n": 4111111111111111}, "n"),
        ({"n": -4111111111111111}, "n"),
        ({"n": 4111111111111111.0}, "n"),
        ({"n": Decimal("4111111111111111.00")}, "n"),
        ([[{"x": [[VISA]]}]], "[0][0].x[0][0]"),
        (freeze({"a": {"b": (VISA,)}}), "a.b[0]"),
        ((Product(id="A", quantity=1, name=VISA),), "[0].name"),
        ({"billing": {"cvv": "123"}}, "billing.cvv"),
        ({"cvv": 123}, "cvv"),
        ({"cvv": ""}, "cvv"),
    ],
)
def test_a_path_names_the_field_and_nothing_of_what_is_in_it(value: Any, path: str) -> None:
    assert find_card_data(value) == path
    with pytest.raises(CardDataError) as raised:
        refuse_card_data(value)
    assert isinstance(raised.value, InvalidChangeError)
    assert (raised.value.field, raised.value.code) == (path, "card_data_refused")
    assert VISA not in str(raised.value)
    assert path in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        {"n": 1763738542123},
        {"n": 1763738542123456},  # microseconds
        {"n": float("nan")},
        {"n": float("inf")},
        {"n": Decimal("NaN"), "m": Decimal("sNaN"), "o": Decimal("Infinity")},
        {"n": 4111111111111111.5},
        {"n": 10**40},
        {"cvv": None},  # taken out
        {"accepted": True, "quantity": 3},
    ],
)
def test_other_json_passes(value: Any) -> None:
    refuse_card_data(value)


def test_a_float_that_has_lost_digits_is_no_number() -> None:
    assert is_number(4111111111111111.0)
    assert not is_number(float(6304000000000000000))


@pytest.mark.parametrize(
    "name",
    [
        *("cvv", "CVV2", "card_cvv", "cardCvc", "CVC", "csc", "security-code", "securityCodes"),
        *("cardCode", "card_number", "cardNumber", "ccnumber", "CC Number", "pan", "track1"),
        *("Track_2", "creditCardNumber", "billing_card_number", "\uff43vv", "x_cvv_x", "pinBlock"),
    ],
)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret_name(name, "x")
    assert find_card_data({"a": {name: "x"}}) is not None


@pytest.mark.parametrize(
    "name",
    [
        *("card", "cardBrand", "card_last4", "cardNumberLast4", "giftCardNumber", "company"),
        *("paymentToken", "japan", "panel", "phoneNumber", "number", "code", "cid", "zip", ""),
    ],
)
def test_other_names_pass(name: str) -> None:
    assert find_card_data({name: "x"}) is None


def test_a_cid_is_a_code_only_if_it_looks_like_one() -> None:
    assert find_card_data({"cid": "GA1.2.3"}) is None
    assert find_card_data({"cid": "1234"}) == "cid"
    assert find_card_data({"cid": 123}) == "cid"


def test_masking_keeps_the_shape_and_what_may_be_kept() -> None:
    value = {
        "note": f"card {VISA} ok",
        "n": 4111111111111111,
        "cvv": "123",
        "list": [VISA, 1, None, True],
        VISA: {"deep": "x"},
    }

    assert mask_card_data(value) == {
        "note": "card 411111******1111 ok",
        "n": "411111******1111",
        "cvv": REMOVED,
        "list": ["411111******1111", 1, None, True],
        "411111******1111": {"deep": "x"},
    }


def test_masking_looks_for_card_data_once_however_deep_it_is(monkeypatch: Any) -> None:
    looked: list[int] = []

    def counted(value: Any, path: str = "") -> str | None:
        looked.append(1)
        return find_card_data(value, path)

    monkeypatch.setattr(card_data, "find_card_data", counted)
    value: Any = VISA
    for _ in range(60):
        value = {"a": value, "b": [1]}

    assert VISA not in repr(mask_card_data(value))
    assert len(looked) == 1


def test_long_names_are_looked_at_and_not_remembered() -> None:
    caches = (card_data._are_plain_names, card_data._is_plain)
    find_card_data({"a": 1})
    before = [cache.cache_info().currsize for cache in caches]

    for number in range(3):
        name = f"{number}{'x' * 10_000}"
        assert find_card_data({name: 1, "a": 1}) is None
        assert find_card_data({f"{name}cvv": 1}) is not None

    assert [cache.cache_info().currsize for cache in caches] == before


@pytest.mark.parametrize("text", ["1E+999999999", "-1E+999999999", "1E-999999999"])
def test_numbers_beyond_every_range_are_no_cards(text: str) -> None:
    assert not is_number(Decimal(text))
    assert find_card_data({"a": [Decimal(text)]}) is None
    assert find_card_data({"a": Decimal(text), "b": VISA}) == "b"


@given(
    st.recursive(
        st.none() | st.booleans() | st.sampled_from([VISA, 4111111111111111, "x", 5]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "cvv", VISA]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_what_was_masked_can_be_stored(value: Any) -> None:
    masked = mask_card_data(value)

    assert VISA not in repr(masked)
    assert "4111111111111111" not in repr(masked)
    assert find_card_data(mask_card_data(masked)) == find_card_data(masked)


ODD = [VISA, f"x {VISA}", 4111111111111111, 4.111111111111111e15, float("nan"), Decimal("NaN")]
NAMES = ["a", "note", "cvv", "cid", "cardNumber", "gift_card_number", VISA, "x" * 200]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(ODD),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_the_quick_look_hides_nothing_from_the_close_one(value: Any) -> None:
    assert find_card_data(value, "body") == next(card_data._findings(value, "body", 0), None)


def test_deep_nesting_is_refused_before_it_exhausts_the_stack() -> None:
    value: Any = "x"
    for _ in range(5_000):
        value = [value]

    assert find_card_data(value) is not None


@pytest.mark.parametrize(
    "part", ["1 ", "4111-", "4111 1111 1111 1111 ", "1----", "\u0664", "é", "12:34.56,"]
)
def test_a_megabyte_of_hostile_text_is_done_in_seconds(part: str) -> None:
    text = part * (1_000_000 // len(part))
    began = time.thread_time()

    find_card_data(text)

    # Backtracking, or comparing each digit with each, would take hours.
    assert time.thread_time() - began < 30


@pytest.mark.parametrize("digits", ["⁰¹²³⁴⁵⁶⁷⁸⁹", "٠١٢٣٤٥٦٧٨٩"])
@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: [it], lambda it: {"note": [it]}])
def test_a_number_is_found_in_any_digits_at_any_depth(digits: str, wrap: Any) -> None:
    number = "4111111111111111".translate(dict(zip(map(ord, "0123456789"), digits, strict=True)))

    assert find_card_data(wrap(number)) is not None
