"""The built wheel, installed beside an empty Django project that knows nothing of the shop."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DATABASE = "wheel_project"

SETTINGS = """
INSTALLED_APPS += ["sessions_unified"]
ALLOWED_HOSTS = ["testserver"]
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.postgresql",
        "NAME": {name!r},
        "HOST": {host!r},
        "PORT": {port!r},
        "USER": {user!r},
        "PASSWORD": {password!r},
    }}
}}
SESSIONS_UNIFIED = {{"TOKEN_KEYS": {{"a": "{key}"}}, "COOKIE_NAME": "s", "COOKIE_SECURE": False}}
"""

URLS = """
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("sessions_unified.api.urls")),
]
"""

SCRIPT = """
import sys

import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

import sessions_unified
from sessions_unified import get_manager
from sessions_unified.exceptions import SessionNotFoundError

call_command("check", databases=["default"])
call_command("migrate", verbosity=0)
call_command("makemigrations", check=True, dry_run=True)
assert not any(name.split(".")[0] in {"funnel", "legacy_adapters"} for name in sys.modules)

manager = get_manager()
session = manager.create_session(email="ana@example.org", metadata={"a": 1})
assert manager.get_session(session.id) == session
changed = manager.update_session(session.id, {"email": "bea@example.org"}, if_version=1)
assert (changed.version, manager.get_session(session.id).email) == (2, "bea@example.org")
assert manager.validate_session(session.id).problems == ()
manager.extend_session(session.id)
manager.touch_session(session.id)
with manager.lock_session(session.id) as locked:
    locked.update({"metadata": {"b": 2}}, kind="noted")
kept = manager.get_session(session.id)
other = manager.create_session()
manager.delete_session(other.id)
try:
    manager.get_session(other.id)
except SessionNotFoundError:
    pass
else:
    raise AssertionError("a deleted session was found")

staff = Client()
staff.force_login(User.objects.create_superuser("root"))
for page in (
    "/admin/",
    "/admin/sessions_unified/unifiedsession/",
    f"/admin/sessions_unified/unifiedsession/{kept.id}/change/",
    "/admin/sessions_unified/servicekey/",
):
    answer = staff.get(page)
    assert answer.status_code == 200, (page, answer.status_code)
assert b"bea@example.org" in staff.get("/admin/sessions_unified/unifiedsession/").content

json = {"content_type": "application/json"}
shopper = Client()
created = shopper.post("/api/session/create", {"email": "cy@example.org"}, **json)
assert created.status_code == 201, created.content
path = f"/api/session/{created.json()['id']}"
assert shopper.get(path).json()["email"] == "cy@example.org"
assert shopper.patch(path, {"metadata": {"x": 1}}, **json).json()["version"] == 2
assert shopper.get(f"{path}/validate").json()["tiersAgree"] is True
assert shopper.post(f"{path}/extend", {}, **json).status_code == 200
assert Client().get(path).status_code == 401
for method, where in ((shopper.post, "/api/session/create"), (shopper.patch, path)):
    refused = method(
        where, {"email": "cy@example.org", "products": [{"id": "SOIL", "quantity": 1}]}, **json
    )
    assert refused.status_code == 400, refused.content
    assert refused["Content-Type"] == "application/problem+json"
    assert [each["field"] for each in refused.json()["errors"]] == ["products"], refused.content
assert shopper.delete(path).status_code == 204
assert shopper.get(path).status_code in {401, 404}
print("sessions_unified from", sessions_unified.__file__)
"""


def run(*argv: str | Path, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env=env, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the backend that the development requirements install."""
    target = tmp_path_factory.mktemp("dist")
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, ROOT),
        cwd=target,
        env=dict(os.environ),
    )
    (found,) = target.glob("*.whl")
    return found


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """Create an empty database beside the test's own."""
    url = urlsplit(os.environ["DATABASE_URL"])
    with psycopg.connect(
        urlunsplit(url._replace(scheme="postgresql")), autocommit=True
    ) as connection:
        info = connection.info
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        try:
            yield {
                "name": DATABASE,
                "host": info.host,
                "port": str(info.port),
                "user": info.user,
                "password": info.password,
            }
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


def test_the_wheel_holds_every_file_of_the_packages_that_is_not_code_too(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())

    packages = ("funnel", "sessions_unified", "legacy_adapters")
    kept = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert kept <= packed
    for package in packages:
        assert f"{package}/py.typed" in packed
    for name in (
        "sessions_unified/migrations/0001_initial.py",
        "funnel/migrations/0001_initial.py",
    ):
        assert name in packed
    for suffix in (".html", ".css", ".sql"):
        assert any(name.endswith(suffix) for name in packed), suffix
    assert {name.split("/")[0].split("-")[0] for name in packed} == {*packages, "funnel_sessions"}
    assert not [name for name in packed if ".env" in name or name.endswith((".pyc", ".key"))]


def test_the_wheel_works_in_an_empty_django_project(
    wheel: Path, database: dict[str, str], tmp_path: Path
) -> None:
    installed, project = tmp_path / "installed", tmp_path / "project"
    project.mkdir()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join((str(installed), sysconfig.get_paths()["purelib"])),
        "PYTHONWARNINGS": "error",
        "DJANGO_SETTINGS_MODULE": "shop.settings",
    }
    python = sys.executable
    pip = (python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile")
    run(*pip, "--target", installed, wheel, cwd=project, env=dict(os.environ))
    run(
        python,
        "-m",
        "django",
        "startproject",
        "shop",
        ".",
        cwd=project,
        env={**env, "DJANGO_SETTINGS_MODULE": ""},
    )
    with (project / "shop" / "settings.py").open("a") as settings:
        settings.write(SETTINGS.format(**database, key="A" * 43))
    (project / "shop" / "urls.py").write_text(URLS)
    (project / "try_it.py").write_text(SCRIPT)

    said = run(python, "try_it.py", cwd=project, env=env)

    assert "no issues" in said
    assert "No changes detected" in said
    assert f"sessions_unified from {installed}" in said
