from __future__ import annotations

import pytest

from funnel.local.log_lines import tidy

ID = "088b5d77-7b1b-4f38-b3de-5d2ec2f29cae"
AFTER = f"request_id='{ID}' user_id=None logger='a.b' level='info' timestamp='2026-11-21T08:43Z'"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        f"event='request_started' request='GET /' user_agent='a b' {AFTER}",
        "[2026-11-21 02:26:35,101: INFO/MainProcess] Scheduler: Sending due task expire (f.expire)",
        f"[2026-11-21 02:26:35,112: INFO/MainProcess] Task funnel.expire[{ID}] received",
        f"[2026-11-21 02:26:35,114: INFO/ForkPoolWorker-2] Task f.x[{ID}] succeeded in 0.0s: None",
        f"[2026-11-21 02:26:35,114: INFO/ForkPoolWorker-2] Task f.x[{ID}] succeeded in 0.0s: 0",
        f"event='Task f.x[{ID}] received'",
        f"event='Task f.x[{ID}] succeeded in 0.0s: 0'",
    ],
)
def test_what_happens_all_the_time_is_noise(line: str) -> None:
    assert tidy(line) is None


@pytest.mark.parametrize(
    ("line", "short"),
    [
        (f"event='request_finished' request='GET /a' code=200 {AFTER}", "GET /a 200"),
        (f"event='request_failed' request='GET /a' code=500 {AFTER}", "GET /a 500"),
        (f"event='breaker opened' tier='redis' {AFTER}", "breaker opened tier='redis'"),
        (f'event="it isn\'t" {AFTER}', "it isn't"),
        ("[2026-11-21 02:26:30,341: INFO/MainProcess] celery@shop ready.", "celery@shop ready."),
        (
            f"[2026-11-21 02:26:35,114: ERROR/ForkPoolWorker-2] Task f.x[{ID}] raised: KeyError()",
            f"ERROR Task f.x[{ID}] raised: KeyError()",
        ),
        (
            f"[2026-11-21 02:26:35,114: INFO/ForkPoolWorker-2] Task f.x[{ID}] succeeded in 1s: 30",
            f"Task f.x[{ID}] succeeded in 1s: 30",
        ),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ('  File "x.py", line 1', '  File "x.py", line 1'),
    ],
)
def test_what_happened_is_shown_in_short(line: str, short: str) -> None:
    assert tidy(line) == short
