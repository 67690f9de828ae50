"""What the environment says of the old shop, and that the site's settings stand without it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from legacy_adapters.migration.conf import Conf

ROOT = Path(__file__).resolve().parents[3]


def evaluated(expression: str, env: dict[str, str]) -> object:
    """Return what an expression over the site's settings is, in a process with this environment."""
    code = f"from funnel import settings; print(repr({expression}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


def test_what_the_environment_leaves_out_is_as_the_package_has_it() -> None:
    assert Conf(**settings.MIGRATION) == Conf()


def test_the_environment_says_how_a_shop_is_moved() -> None:
    given = dict(os.environ) | {
        "SESSION_MANAGER": "legacy_adapters.migration.MigratingSessionManager",
        "MIGRATION_MIN_COMPARISONS": "200",
        "MIGRATION_UNLISTED_LIFE_SECONDS": "cookie=30,local_storage=45",
        "LEGACY_DATABASE_URL": os.environ["DATABASE_URL"],
        "TRUSTED_PROXIES": "2",
    }

    found = evaluated(
        "[settings.SESSIONS_UNIFIED['MANAGER'], settings.MIGRATION['MIN_COMPARISONS'],"
        " settings.MIGRATION['UNLISTED_LIFE_SECONDS'], settings.LEGACY_ADAPTERS['database']"
        "['ALIAS'], settings.DATABASES['legacy']['OPTIONS']['pool']['min_size'],"
        " settings.LEGACY_ADAPTERS['local_storage']['TRUSTED_PROXIES']]",
        given,
    )

    assert found == [
        "legacy_adapters.migration.MigratingSessionManager",
        200,
        {"cookie": 30, "local_storage": 45},
        "legacy",
        0,
        2,
    ]


def test_without_the_old_shop_the_settings_name_none_of_it() -> None:
    text = (ROOT / "funnel/settings.py").read_text(encoding="utf-8")
    before, marker, after = text.partition("# The old shop: these lines go")

    assert marker
    assert "legacy" not in before.lower().replace("funnel.legacy_settings", "")
    assert len(after.strip().splitlines()) == 4
