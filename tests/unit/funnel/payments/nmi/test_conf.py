"""The settings of the gateway, and the checks that look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from funnel.checks import check_gateway, check_nmi, check_nmi_card_form, check_nmi_webhooks
from funnel.payments.nmi.conf import NmiConf
from tests.unit.funnel.payments.nmi.conftest import GATEWAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django.fixtures import SettingsWrapper


@pytest.mark.parametrize(
    "url",
    [
        "https://secure.nmi.com/api/",
        "https://white-label.example:8443/nmi/api",
        "https://[2001:db8::1]/api/",
        "http://127.0.0.1:8025/api/",
        "http://127.8.9.1/api/",
        "http://localhost:8025/api/",
        "http://[::1]:8025/api/",
    ],
)
def test_https_and_loopback_are_private(url: str) -> None:
    assert NmiConf(URL=url).is_private


@pytest.mark.parametrize(
    "url",
    [
        *("", "secure.nmi.com/api/", "ftp://127.0.0.1/", "https://", "http:///api/"),
        *("http://secure.nmi.com/api/", "http://10.0.0.1/", "http://0.0.0.0/"),
        *("http://localhost.example/", "http://127.0.0.1.example/", "http://[::ffff:10.0.0.1]/"),
        *("http://127.0.0.1@secure.nmi.com/", "http://secure.nmi.com\\@127.0.0.1/"),
        *("https://user:secret@secure.nmi.com/", "https://secure.nmi.com/?security_key=x"),
        *("https://secure.nmi.com/#x", "https://secure.nmi.com/ ", "https://secure.nmi.com/\n"),
        "HTTPS://secure.nmi.com:443x/",
    ],
)
def test_everything_else_is_not(url: str) -> None:
    assert not NmiConf(URL=url).is_private


@pytest.mark.parametrize(
    ("conf", "wanted"),
    [
        ({}, []),
        ({"SECURITY_KEY": ""}, ["funnel.E010"]),
        ({"URL": "http://secure.nmi.com/api/"}, ["funnel.E011"]),
        ({"URL": "http://127.0.0.1:8025/api/"}, []),
        ({"TIMEOUT_SECONDS": 0}, ["funnel.E012"]),
        ({"TIMEOUT_SECONDS": float("nan")}, ["funnel.E012"]),
    ],
)
def test_e010_e011_e012_what_the_gateway_cannot_work_with_is_found(
    nmi: Callable[..., None], conf: dict[str, Any], wanted: list[str]
) -> None:
    nmi(**conf)

    assert [message.id for message in check_nmi()] == wanted


@pytest.mark.parametrize("keys", [[], [""]])
def test_w010_webhooks_that_cannot_be_checked_are_pointed_out(
    nmi: Callable[..., None], keys: list[str]
) -> None:
    nmi(WEBHOOK_KEYS=keys)

    assert [message.id for message in check_nmi_webhooks()] == ["funnel.W010"]


def test_w011_a_checkout_without_a_card_form_is_pointed_out(nmi: Callable[..., None]) -> None:
    nmi(TOKENIZATION_KEY="")
    missing = [message.id for message in check_nmi_card_form()]
    nmi(TOKENIZATION_KEY="public")

    present = check_nmi_card_form()

    assert missing == ["funnel.W011"]
    assert present == []


def test_w010_one_key_is_enough(nmi: Callable[..., None]) -> None:
    nmi(WEBHOOK_KEYS=["wh-key"])

    assert check_nmi_webhooks() == []


def test_e002_the_lease_is_compared_with_the_time_that_is_set(settings: SettingsWrapper) -> None:
    settings.FUNNEL = {"GATEWAY": GATEWAY, "NMI": {"TIMEOUT_SECONDS": 60}, "LEASE_SECONDS": 60}

    assert [message.id for message in check_gateway()] == ["funnel.E002"]


@pytest.mark.parametrize("gateway", ["funnel.payments.sandbox.SandboxGateway", "nowhere.Gateway"])
def test_another_gateway_needs_none_of_it(settings: SettingsWrapper, gateway: str) -> None:
    settings.FUNNEL = {"GATEWAY": gateway, "NMI": {}}

    assert check_nmi() == []
    assert check_nmi_webhooks() == []
