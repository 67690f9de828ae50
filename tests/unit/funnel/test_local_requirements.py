"""Resolvers silently step back to old releases: the locks must hold what matters, recent."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ("site", "dev", "docs")

AT_LEAST = {
    "celery": "5.5",
    "django": "5.2",
    "django-redis": "6.0",
    "djangorestframework": "3.16",
    "drf-spectacular": "0.28",
    "gunicorn": "23.0",
    "hiredis": "3.2",
    "joserfc": "1.4",
    "msgspec": "0.20",
    "psycopg": "3.2.9",
    "redis": "6.2",
    "structlog": "25.4",
    "whitenoise": "6.9",
}


def locked_versions(name: str) -> dict[str, set[Version]]:
    """Return package → its versions (one for each Python, where they differ)."""
    found: dict[str, set[Version]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([\w.+!-]+)", lock_text(name), re.MULTILINE):
        found.setdefault(canonicalize_name(package), set()).add(Version(version))
    return found


def lock_text(name: str) -> str:
    return (ROOT / f"requirements/{name}.txt").read_text()


def wanted(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for extra in extras for text in optional[extra])]
    return [Requirement(text) for text in texts if not text.startswith("funnel-sessions")]


@pytest.mark.parametrize("package", AT_LEAST)
@pytest.mark.parametrize("lock", ["site", "dev"])
def test_what_matters_is_recent(lock: str, package: str) -> None:
    versions = locked_versions(lock)[package]

    assert min(versions) >= Version(AT_LEAST[package])


def test_django_is_the_long_term_release_on_every_python() -> None:
    for lock in LOCKS:
        assert {version.release[:2] for version in locked_versions(lock)["django"]} == {(5, 2)}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("site", ["site", "demo", "progress"]),
        ("dev", ["site", "demo", "progress", "dev"]),
        ("docs", ["docs"]),
    ],
)
def test_locks_hold_what_pyproject_asks_for(lock: str, extras: list[str]) -> None:
    versions = locked_versions(lock)

    for requirement in wanted(*extras):
        locked = versions.get(canonicalize_name(requirement.name), set())
        assert locked, f"{requirement.name} is missing: run make lock"
        assert all(version in requirement.specifier for version in locked), requirement.name


def test_locks_agree_with_each_other() -> None:
    everything = locked_versions("dev")

    for lock in ("site", "docs"):
        for package, versions in locked_versions(lock).items():
            assert versions == everything.get(package, versions), package


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock: str) -> None:
    entries = re.split(r"^(?=[\w.-]+==)", lock_text(lock), flags=re.MULTILINE)[1:]

    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_index_and_no_path(lock: str) -> None:
    assert not re.search(r"://|--(extra-)?index-url|--find-links|(^|\s)/", lock_text(lock))
