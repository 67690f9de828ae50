from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from funnel.local.private_files import kept_secret, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def careless_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    write_private(tmp_path / "env", "KEY=value\n")

    assert mode(tmp_path / "env") == 0o600
    assert (tmp_path / "env").read_text() == "KEY=value\n"


def test_an_open_file_is_closed_to_others_when_written_again(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("old")
    (tmp_path / "env").chmod(0o644)

    write_private(tmp_path / "env", "new")

    assert mode(tmp_path / "env") == 0o600


def test_no_draft_is_left(tmp_path: Path) -> None:
    write_private(tmp_path / "env", "x")

    assert [path.name for path in tmp_path.iterdir()] == ["env"]


def test_a_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    first = kept_secret(tmp_path / "password")

    assert kept_secret(tmp_path / "password") == first
    assert len(first) >= 32
    assert mode(tmp_path / "password") == 0o600


def test_secrets_differ(tmp_path: Path) -> None:
    assert kept_secret(tmp_path / "one") != kept_secret(tmp_path / "other")
