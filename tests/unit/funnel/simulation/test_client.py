"""Where simulated shoppers may go, and what they make of answers and of none."""

from __future__ import annotations

import pytest

from funnel.local.ports import free_port
from funnel.simulation import Simulation
from funnel.simulation.asking import is_open
from funnel.simulation.client import CUT, Answer, Site, _cookies
from funnel.simulation.exceptions import NotLoopbackError


@pytest.mark.parametrize(
    "url", ["https://shop.example.org", "http://192.168.0.9:8000", "http://127.0.0.1.evil.org", "x"]
)
def test_only_this_machine_is_driven(url: str) -> None:
    with pytest.raises(NotLoopbackError, match="is not on this machine"):
        Simulation(url)
    with pytest.raises(NotLoopbackError):
        Simulation(["http://127.0.0.1:8000", url])


def test_nobody_there_is_no_answer() -> None:
    site = Site([f"http://127.0.0.1:{free_port()}"])

    answer, cookies = site.send("GET", "/", None, {})

    assert (answer.status, answer.body, cookies) == (CUT, {}, {})
    assert is_open(answer)


def test_cookies_are_kept_and_forgotten_as_the_site_says() -> None:
    headers = ["a=1; Path=/; HttpOnly", 'b=""; Max-Age=0', "c=x=y; Secure"]

    assert _cookies(headers) == {"a": "1", "b": "", "c": "x=y"}


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (200, "", False),
        (202, "", True),
        (402, "payment_declined", False),
        (409, "charge_in_flight", True),
        (409, "offer_closed", False),
        (412, "version_conflict", True),
        (429, "throttled", True),
        (429, "too_many_declines", False),
        (500, "internal_error", False),
        (503, "database_unavailable", True),
        (CUT, "", True),
    ],
)
def test_what_is_asked_again(status: int, code: str, *, expected: bool) -> None:
    assert is_open(Answer(status=status, body={"code": code})) is expected
