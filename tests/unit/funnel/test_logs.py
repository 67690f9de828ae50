"""Log lines: which request, session and tier; no PII."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from celery import signals as celery_signals
from django.test import RequestFactory
from django_structlog.signals import bind_extra_request_finished_metadata
from structlog.stdlib import ProcessorFormatter

from funnel.logs import bind_task, drop_query, forget_task, scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client
    from pytest_django.fixtures import SettingsWrapper

TOKEN = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..Zm9v.YmFy.YmF6"


@pytest.fixture(params=["json", "lines"])
def log(request: pytest.FixtureRequest, settings: SettingsWrapper) -> Iterator[io.StringIO]:
    """Return what the site logs, in both of its shapes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    options = {**settings.LOGGING["formatters"][request.param]}
    options.pop("()")
    handler.setFormatter(ProcessorFormatter(**options))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        ("no row of ana+shop@example.org here", "no row of [email] here"),
        ("Key (email)=(ana%40example.org)", "Key (email)=([email])"),
        (f"bad token {TOKEN}.", "bad token [token]."),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_what_an_error_quotes_is_scrubbed(text: str, logged: str) -> None:
    assert scrub(None, "info", {"event": text, "exception": text}) == {
        "event": logged,
        "exception": logged,
    }


def test_what_is_no_text_is_left_alone() -> None:
    assert scrub(None, "info", {"code": 200, "user": None}) == {"code": 200, "user": None}


def test_a_query_is_cut_off() -> None:
    searched = {"request": "GET /admin/sessions_unified/unifiedsession/?q=Ana"}

    assert drop_query(None, "info", searched)["request"].endswith("unifiedsession/?[redacted]")
    assert drop_query(None, "info", {"request": "GET /success"})["request"] == "GET /success"


def test_a_finished_request_says_its_session_and_tier() -> None:
    request = RequestFactory().get("/")
    request.served_session = ("ws_1_1", "memory")  # type: ignore[attr-defined]
    fields: dict[str, Any] = {"code": 200}

    bind_extra_request_finished_metadata.send(
        sender=None, request=request, response=None, logger=None, log_kwargs=fields
    )

    assert fields == {"code": 200, "session": "ws_1_1", "tier": "memory"}


@pytest.mark.django_db
def test_a_request_that_is_refused_says_the_session_of_its_address(
    client: Client, log: io.StringIO
) -> None:
    refused = client.get("/api/session/ws_1_1")

    (finished,) = [line for line in log.getvalue().splitlines() if "request_finished" in line]
    assert refused.status_code == 401
    assert re.search(r'"?session"?[=:] ?[\'"]ws_1_1[\'"]', finished)


def test_a_request_without_a_session_says_none() -> None:
    fields: dict[str, Any] = {"code": 200}

    bind_extra_request_finished_metadata.send(
        sender=None,
        request=RequestFactory().get("/"),
        response=None,
        logger=None,
        log_kwargs=fields,
    )

    assert fields == {"code": 200}


def test_every_line_of_a_task_has_its_id(log: io.StringIO) -> None:
    bind_task(task_id="t-1")
    logging.getLogger("sessions_unified.upkeep.sweeping").warning("within")
    forget_task()
    logging.getLogger("sessions_unified.upkeep.sweeping").warning("after")

    within, after = log.getvalue().splitlines()
    assert "t-1" in within
    assert "t-1" not in after
    assert structlog.contextvars.get_contextvars() == {}


def test_celery_leaves_the_logging_as_the_site_configured_it() -> None:
    assert celery_signals.setup_logging.receivers


def test_an_unforeseen_error_is_logged_without_what_it_quotes(log: io.StringIO) -> None:
    try:
        int("ana@example.org")
    except ValueError:
        logging.getLogger("x").exception("Could not do it for %s", "bo@example.org")

    assert "example.org" not in log.getvalue()
    assert "invalid literal for int() with base 10" in log.getvalue()
    assert "Could not do it for [email]" in log.getvalue()


def test_a_line_of_json_is_one_object(log: io.StringIO, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["log"] == "lines":
        return
    logging.getLogger("x").warning("one\ntwo")

    assert json.loads(log.getvalue())["event"] == "one\ntwo"


@pytest.mark.django_db
def test_r40_a_staff_search_leaves_no_name_in_the_log(client: Client, log: io.StringIO) -> None:
    client.get("/admin/sessions_unified/unifiedsession/", {"q": "Ana Canary"})

    assert "request_finished" in log.getvalue()
    assert "Canary" not in log.getvalue()
