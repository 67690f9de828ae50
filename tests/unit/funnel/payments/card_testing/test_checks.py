"""The limits' system checks, by id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from funnel.payments.card_testing.checks import check_limits, check_proxies

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper


def test_the_sites_own_settings_are_fine() -> None:
    assert check_limits() == []
    assert check_proxies() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DECLINES_PER_SESSION", 0),
        ("DECLINES_PER_ADDRESS", -1),
        ("DECLINES_PER_CARD", -1),
        ("TRUSTED_PROXIES", -1),
        ("DECLINE_WINDOW_SECONDS", 0),
    ],
)
def test_e040_a_number_that_makes_no_sense(
    settings: SettingsWrapper, name: str, value: int
) -> None:
    settings.FUNNEL = settings.FUNNEL | {name: value}

    (found,) = check_limits()

    assert found.id == "funnel.E040"
    assert name in str(found.msg)
    assert name in str(found.hint)


def test_w040_a_proxy_whose_address_would_be_everybodys(settings: SettingsWrapper) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

    (found,) = check_proxies()

    assert found.id == "funnel.W040"


@pytest.mark.parametrize("changes", [{"TRUSTED_PROXIES": 1}, {"DECLINES_PER_ADDRESS": 0}])
def test_a_proxy_that_is_known_or_does_not_matter_is_fine(
    settings: SettingsWrapper, changes: dict[str, int]
) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.FUNNEL = settings.FUNNEL | changes

    assert check_proxies() == []
