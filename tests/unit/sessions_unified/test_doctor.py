"""How the doctor runs its checks: each alone, each in its time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

from sessions_unified import doctor
from sessions_unified.doctor import (
    CHECKS,
    Check,
    Finding,
    Status,
    configuration,
    failed,
    ok,
    run,
    warned,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django.fixtures import SettingsWrapper


def check(name: str, look: Callable[[], Finding], *, needs: str = "") -> Check:
    return Check(name=name, look=look, advice="Mend it.", runbook="mending", needs=needs)


def broken() -> Finding:
    raise RuntimeError("it did not work") from OSError("connection refused")


def test_a_check_that_raises_is_a_failure_with_its_first_cause() -> None:
    (found,) = [finding for _, finding in run([check("a", broken)])]

    assert found.status is Status.FAIL
    assert found.text == "OSError: connection refused"
    assert found.advice == "Mend it."
    assert found.runbook == "docs/howto/runbooks.md#mending"


def test_a_check_that_hangs_costs_the_others_its_time_only() -> None:
    checks = [check("a", lambda: time.sleep(20)), check("b", lambda: ok("fine"))]

    before = time.monotonic()
    found = dict(run(checks, seconds=0.05))

    assert time.monotonic() - before < 10
    assert (found["a"].status, found["a"].text) == (Status.FAIL, "no answer within 0.05 s")
    assert found["b"].status is Status.OK


def test_what_needs_something_broken_is_not_looked_at() -> None:
    looked: list[str] = []
    checks = [
        check("a", broken),
        check("b", lambda: looked.append("b") or ok("fine"), needs="a"),
        check("c", lambda: looked.append("c") or ok("fine"), needs="b"),
    ]

    found = dict(run(checks))

    assert looked == []
    assert found["b"] == Finding(status=Status.SKIP, text="skipped: needs a")
    assert found["c"] == Finding(status=Status.SKIP, text="skipped: needs b")


def test_a_check_needs_only_what_comes_before_it() -> None:
    names = [each.name for each in CHECKS]

    assert len(names) == len(set(names))
    for position, each in enumerate(CHECKS):
        assert not each.needs or each.needs in names[:position], each.name


def call(*args: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("doctor", *args, stdout=out)
    except SystemExit as exc:
        return int(str(exc.code)), out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    chosen: list[Check] = []
    monkeypatch.setattr("sessions_unified.management.commands.doctor.CHECKS", chosen)
    return chosen


def test_warnings_alone_exit_with_0(checks: list[Check]) -> None:
    checks += [check("a", lambda: ok("fine", ms=1.25)), check("b", lambda: warned("old", "Look."))]

    code, text = call()

    assert code == 0
    assert "ok    a      1.2 ms  fine\n" in text
    assert "warn  b              old\n" in text
    assert text.endswith("Look at: b.\n")


def test_a_failure_exits_with_1_and_says_what_to_do(checks: list[Check]) -> None:
    checks += [check("a", lambda: failed("gone", "Start it.", "start"))]

    code, text = call()

    assert code == 1
    lines = [line.strip() for line in text.splitlines()]
    assert lines[1:3] == ["Start it.", "docs/howto/runbooks.md#start"]
    assert lines[-1] == "Failed: a."


def test_all_is_well_is_said(checks: list[Check]) -> None:
    checks += [check("a", lambda: ok("fine"))]

    assert call()[1].endswith("All is well.\n")


def test_what_was_skipped_is_one_line_and_nothing_to_look_at(checks: list[Check]) -> None:
    checks += [check("a", broken), check("b", lambda: ok("fine"), needs="a")]

    code, text = call()

    assert code == 1
    assert "skip  b              skipped: needs a\n\nFailed: a.\n" in text


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_check_needs_some_time(seconds: str) -> None:
    with pytest.raises(CommandError, match="more than 0"):
        call(f"--timeout={seconds}")


def test_plain_http_on_purpose_is_well(settings: SettingsWrapper) -> None:
    settings.SESSION_COOKIE_SECURE = settings.SECURE_SSL_REDIRECT = False
    on_purpose = configuration._settings()
    settings.SESSION_COOKIE_SECURE = True
    by_mistake = configuration._settings()

    assert (on_purpose.status, on_purpose.text) == (Status.OK, "plain HTTP on purpose")
    assert by_mistake.status is Status.WARN


def test_a_reader_that_has_read_enough_ends_it_quietly() -> None:
    code = (
        "import django; django.setup(); from sessions_unified import doctor; "
        "doctor.CHECKS[:] = [doctor.Check(name=str(n), look=lambda: doctor.ok('x' * 70000), "
        "advice='') for n in range(9)]; "
        "from django.core.management import call_command; call_command('doctor')"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "funnel.settings"}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (1, b"")


def test_json_is_one_object(checks: list[Check]) -> None:
    checks += [check("a", lambda: ok("fine", ms=1)), check("b", lambda: failed("gone", "Start."))]

    code, text = call("--json")

    found = json.loads(text)["checks"]
    assert code == 1
    assert found["a"] == {"status": "ok", "text": "fine", "ms": 1, "advice": "", "runbook": ""}
    assert found["b"]["status"] == "fail"


def test_an_app_can_add_a_check_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", [*CHECKS])

    doctor.CHECKS.append(check("mine", lambda: ok("fine")))

    assert dict(run(doctor.CHECKS[-1:]))["mine"].text == "fine"
