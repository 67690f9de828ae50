"""``manage.py`` where the site's environment is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_without_its_environment_it_says_what_to_set(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    env |= {"FUNNEL_LOCAL_DIR": str(tmp_path), "SECRET_KEY": ""}
    env.pop("DATABASE_URL", None)

    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == (
        "Set SECRET_KEY, DATABASE_URL (docs/reference/settings.md), or start `make demo`.\n"
    )
