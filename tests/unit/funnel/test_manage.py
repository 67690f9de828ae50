"""``manage.py`` where the site's environment is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def run_without_settings(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    env |= {"FUNNEL_LOCAL_DIR": str(tmp_path), "SECRET_KEY": ""}
    env.pop("DATABASE_URL", None)
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_its_environment_it_says_what_to_set(tmp_path: Path) -> None:
    done = run_without_settings(tmp_path, "check")

    assert done.returncode == 1
    assert done.stderr == (
        "Set SECRET_KEY, DATABASE_URL (docs/reference/settings.md), or start `make demo`.\n"
    )


def test_the_simulator_needs_no_settings(tmp_path: Path) -> None:
    shown = run_without_settings(tmp_path, "nmi_simulator", "--help")
    refused = run_without_settings(tmp_path, "nmi_simulator", "--port", "70000")

    assert (shown.returncode, "--webhook-url" in shown.stdout) == (0, True)
    assert (refused.returncode, refused.stderr) == (1, "--port 70000 is not a port's number.\n")
