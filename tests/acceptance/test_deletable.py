"""After the cut-over the old shop's app is deleted, and what is left is a whole site."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DATABASE = "deletable"
REDIS_NUMBER = 11

APP = "legacy_adapters"
LINES = re.compile(r"\n# The old shop: these lines go.*", re.DOTALL)
"""In funnel/settings.py, to its end."""
LISTED = re.compile(rf',? ?"/?{APP}"')
"""In pyproject.toml's lists."""

NOT_COPIED = shutil.ignore_patterns(
    *(".git", ".venv", ".local", "build", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
)
KEPT = (
    *("tests/unit/sessions_unified/test_checks.py", "tests/unit/sessions_unified/test_flow.py"),
    *("tests/unit/sessions_unified/test_wire.py", "tests/unit/sessions_unified/test_tiers.py"),
    *("tests/unit/funnel/test_views.py", "tests/integration/test_charging_upsells.py"),
    "tests/acceptance/test_walk.py",
)
"""Of the core, the money, and the pages: a few of each, for the time they take."""

BEFORE = """
import django

django.setup()

from django.core.management import call_command
from django.db import connection

call_command("migrate", verbosity=0)
assert "legacy_adapters_endpointstage" in connection.introspection.table_names()
call_command("migrate", "legacy_adapters", "zero", verbosity=0)
"""

AFTER = """
import sys

import django

django.setup()

from django.core.management import call_command
from django.db import connection

call_command("check", databases=["default"], fail_level="WARNING")
call_command("makemigrations", check=True, dry_run=True)
call_command("migrate", verbosity=0)
left = [name for name in connection.introspection.table_names() if name.startswith("legacy")]
assert not left, left
assert not [name for name in sys.modules if name.partition(".")[0] == "legacy_adapters"]
"""


def run(*argv: str | Path, cwd: Path, env: dict[str, str], timeout: float = 300) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env=env, check=False, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Copy the project, and delete what `migration retire` names."""
    copy = tmp_path / "site"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    shutil.rmtree(copy / APP)
    (copy / "funnel" / "legacy_settings.py").unlink()
    settings = copy / "funnel" / "settings.py"
    text, cut = LINES.subn("\n", settings.read_text(encoding="utf-8"))
    assert cut == 1
    settings.write_text(text, encoding="utf-8")
    delete_lines(copy / "pyproject.toml", LISTED)
    delete_lines(copy / "compose.yaml", re.compile(rf"^ *COPY {APP} .*\n", re.MULTILINE))
    delete_tests(copy)
    return copy


def delete_lines(path: Path, named: re.Pattern[str]) -> None:
    text, cut = named.subn("", path.read_text(encoding="utf-8"))
    assert cut
    path.write_text(text, encoding="utf-8")


def delete_tests(copy: Path) -> None:
    """Delete the tests that name the app, and those that import one of these."""
    texts = {path: path.read_text(encoding="utf-8") for path in (copy / "tests").rglob("*.py")}
    gone = {APP, "funnel.legacy_settings"}
    left = {path: {APP} if APP in text else imports(text) for path, text in texts.items()}
    while found := [path for path, taken in left.items() if taken & gone]:
        for path in found:
            del left[path]
            path.unlink()
            gone.add(".".join(path.relative_to(copy).with_suffix("").parts))


def imports(text: str) -> set[str]:
    """Return what a module imports: modules, and what it takes from them."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}", *(f"{node.module}.{each.name}" for each in node.names)}
    return found


@pytest.fixture
def env() -> Iterator[dict[str, str]]:
    """Return the environment of a site with a database and a Redis of its own."""
    url = urlsplit(os.environ["DATABASE_URL"])
    server = urlsplit(os.environ["REDIS_URL"])
    redis_url = urlunsplit(server._replace(path=f"/{REDIS_NUMBER}"))
    own = {
        "DATABASE_URL": urlunsplit(url._replace(path=f"/{DATABASE}")),
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "funnel.settings",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with (
        psycopg.connect(urlunsplit(url._replace(scheme="postgresql")), autocommit=True) as admin,
        redis.Redis.from_url(redis_url) as client,
    ):
        for name in (DATABASE, f"test_{DATABASE}"):
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {DATABASE}")
        client.flushdb()
        try:
            yield {**os.environ, **own}
        finally:
            client.flushdb()
            for name in (DATABASE, f"test_{DATABASE}"):
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_without_the_old_shops_app_the_site_is_whole(site: Path, env: dict[str, str]) -> None:
    run(sys.executable, "-c", BEFORE, cwd=ROOT, env=env)

    said = run(sys.executable, "-W", "error", "-c", AFTER, cwd=site, env=env)

    assert "no issues" in said
    assert "No changes detected" in said

    tests = run(sys.executable, "-m", "pytest", "-q", "-x", *KEPT, cwd=site, env=env)

    assert re.search(r"\b[1-9]\d+ passed", tests)
    assert " failed" not in tests


@pytest.mark.soak
def test_all_that_is_left_of_the_tests_passes(site: Path, env: dict[str, str]) -> None:
    tests = run(
        *(sys.executable, "-m", "pytest", "-q", "tests/unit", "tests/integration"),
        cwd=site,
        env=env,
        timeout=1800,
    )

    found = re.search(r"\b(\d+) passed", tests)
    assert found
    assert int(found[1]) > 1000
    assert " failed" not in tests
