"""Whose address is counted: nobody can write it themselves, and nobody's form of it gets away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.payments.card_testing.addresses import client_address, parse

PROXY = "10.0.0.1"


def seen(forwarded: str | None, proxies: int, remote: str | None = PROXY) -> str | None:
    meta = {"HTTP_X_FORWARDED_FOR": forwarded, "REMOTE_ADDR": remote}
    given = {name: value for name, value in meta.items() if value is not None}
    return client_address(given, trusted_proxies=proxies)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("::1", "::/64"),
    ],
)
def test_an_address_is_counted_in_one_form(text: str, counted: str) -> None:
    assert parse(text) == counted


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "unknown", "_hidden", "localhost", "192.0.2", "192.0.2.256", "192.0.2.1:"),
        *("192.0.2.1:http", "192.0.2.1 192.0.2.2", "[192.0.2.1]", "[2001:db8::1", "2001:db8::1]"),
        *(
            "[]",
            "[2001:db8::1]x",
            "[2001:db8::1]:x",
            "192.0.2.1:\u0661",
            "\u0661.2.3.4",
            "3221225985",
        ),
    ],
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("forwarded", "proxies", "counted"),
    [
        # Nobody is trusted: the header is anybody's word.
        ("192.0.2.1", 0, PROXY),
        (None, 0, PROXY),
        # One proxy: the last entry is what it saw.
        ("192.0.2.1", 1, "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", 1, "192.0.2.1"),
        ("6.6.6.6,7.7.7.7,192.0.2.1:4711", 1, "192.0.2.1"),
        # Two: the last is the outer proxy, the one before what that saw.
        ("192.0.2.1, 10.0.0.2", 2, "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 10.0.0.2", 2, "192.0.2.1"),
        # A request that did not pass all of them is its sender's.
        ("10.0.0.2", 2, PROXY),
        ("", 1, PROXY),
        (None, 1, PROXY),
        # What a proxy wrote and is no address.
        ("unknown", 1, PROXY),
        ("6.6.6.6, ", 1, PROXY),
        ("6.6.6.6, , 10.0.0.2", 2, PROXY),
        # A clients' own tricks stay left of what counts.
        (", ,,6.6.6.6\t,[x], 192.0.2.1", 1, "192.0.2.1"),
        ("6.6.6.6" + ", 6.6.6.6" * 1000 + ", 192.0.2.1", 1, "192.0.2.1"),
    ],
)
def test_only_what_our_own_proxies_wrote_is_read(
    forwarded: str | None, proxies: int, counted: str
) -> None:
    assert seen(forwarded, proxies) == counted


@pytest.mark.parametrize("remote", [None, "", "unknown", "/run/site.sock"])
def test_an_address_that_is_not_known_is_none(remote: str | None) -> None:
    assert seen(None, 0, remote) is None
    assert seen("", 1, remote) is None


@given(st.text(max_size=80))
def test_nothing_that_a_client_sends_changes_who_it_is(sent: str) -> None:
    assert seen(f"{sent}, 192.0.2.1", 1) == "192.0.2.1"


@given(st.text(max_size=40))
def test_no_text_is_an_error(text: str) -> None:
    found = seen(text, 1, text)

    assert found is None or parse(found.removesuffix("/64")) == found
