"""What a process is called in pg_stat_activity."""

from __future__ import annotations

import pytest

from funnel.processes import process_name


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["manage.py", "run_relay", "--once"], "funnel run_relay"),
        (["/srv/.venv/bin/gunicorn", "funnel.wsgi:application"], "funnel gunicorn"),
        (["/srv/.venv/bin/celery", "--app", "funnel", "worker"], "funnel celery"),
        (["manage.py", "--help"], "funnel manage.py"),
        (["-c"], "funnel -c"),
        ([], "funnel"),
    ],
)
def test_a_process_is_named_after_what_it_runs(argv: list[str], name: str) -> None:
    assert process_name(argv) == name
