"""The checks of ``HOOKS``, by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from funnel.hooks.checks import CONSUMER, check_hooks
from tests.hook_receiver import SECRET

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

GOOD = {
    "books": {"CALLABLE": "tests.hooks.remember"},
    "shop": {"URL": "https://example.com/orders", "SECRET": SECRET},
}


@pytest.fixture(autouse=True)
def told(settings: SettingsWrapper) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"CONSUMERS": [CONSUMER]}


def found(settings: SettingsWrapper, targets: dict[str, Any], **conf: Any) -> list[str | None]:
    settings.FUNNEL = settings.FUNNEL | {"HOOKS": targets} | conf
    return [message.id for message in check_hooks()]


def test_good_targets_pass(settings: SettingsWrapper) -> None:
    assert found(settings, GOOD) == []


def test_no_targets_need_no_consumer(settings: SettingsWrapper) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"CONSUMERS": []}

    assert found(settings, {}) == []


@pytest.mark.parametrize(
    "given",
    [
        {"URL": "http://example.com/", "SECRET": SECRET},
        {"URL": "https://example.com/", "SECRET": "too-short"},
        {"URL": "https://example.com/", "SECRET": SECRET, "RETRIES": "3"},
    ],
)
def test_e030_a_target_that_is_none(settings: SettingsWrapper, given: dict[str, str]) -> None:
    assert found(settings, {"shop": given}) == ["funnel.E030"]


@pytest.mark.parametrize(
    "path", ["tests.hooks.nothing", "nowhere", "tests.hooks.__doc__", "tests.hooks.remember_later"]
)
def test_e031_a_callable_that_cannot_be_called(settings: SettingsWrapper, path: str) -> None:
    assert found(settings, {"books": {"CALLABLE": path}}) == ["funnel.E031"]


@pytest.mark.parametrize("conf", [{"HOOK_TIMEOUT_SECONDS": 0}, {"HOOK_TRIES": 0}])
def test_e032_no_time_or_no_tries(settings: SettingsWrapper, conf: dict[str, int]) -> None:
    assert found(settings, GOOD, **conf) == ["funnel.E032"]


def test_w030_targets_that_the_relay_does_not_know(settings: SettingsWrapper) -> None:
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"CONSUMERS": []}

    assert found(settings, GOOD) == ["funnel.W030"]


def test_the_checks_run_with_the_sites() -> None:
    from django.core.checks.registry import registry

    assert check_hooks in registry.get_checks()
