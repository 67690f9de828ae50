"""Who asks: the address that is counted."""

from __future__ import annotations

import pytest

from legacy_adapters.api.counting import client_address


@pytest.mark.parametrize(
    ("remote", "forwarded", "proxies", "expected"),
    [
        ("198.51.100.7", "", 0, "198.51.100.7"),
        ("198.51.100.7", "6.6.6.6", 0, "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7", 1, "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.2", 2, "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7", 2, "10.0.0.1"),
        ("10.0.0.1", "", 1, "10.0.0.1"),
        ("10.0.0.1", "nonsense", 1, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", 1, "198.51.100.7"),
        ("10.0.0.1", "[2001:db8:1:2:3::4]:4711", 1, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3::4", "", 0, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "", 0, "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "", 0, "fe80::/64"),
        ("::ffff:198.51.100.7", "", 0, "198.51.100.7"),
        ("", "", 0, None),
        ("unix:", "", 0, None),
    ],
)
def test_the_address_that_is_counted(
    remote: str, forwarded: str, proxies: int, expected: str | None
) -> None:
    meta = {"REMOTE_ADDR": remote, "HTTP_X_FORWARDED_FOR": forwarded}

    assert client_address(meta, trusted_proxies=proxies) == expected
