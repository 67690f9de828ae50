"""The old table as a file that says what it holds, and the table's end once the file has it all."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from django.apps import apps
from django.db import transaction

from legacy_adapters.exceptions import LegacyAdaptersError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path
    from typing import BinaryIO

    from legacy_adapters.database.store import Table

_COPY: Final = "COPY (SELECT * FROM {} ORDER BY {id}) TO STDOUT (FORMAT csv, HEADER)"
_PRIVATE: Final = 0o600
_BLOCK: Final = 1 << 20


class ArchiveError(LegacyAdaptersError):
    """The archive cannot be used. Nothing was dropped."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """What the file beside an archive says of it (``FILE.json``).

    Attributes:
        table: the table's name, as in the settings.
        rows: how many it has.
        sha256: of the file, as `sha256sum` prints it.
        content_sha256: of the CSV text within.
        made_at: ISO 8601.

    """

    table: str
    rows: int
    sha256: str
    content_sha256: str
    made_at: str


def archive(table: Table, path: Path, *, now: datetime) -> Archive:
    """Copy the table to a new file, which only its owner may read; return what it has.

    CSV in gzip, with a line of names, in the order of the ids; NULL is an empty field without
    quotes. ``COPY … FROM … (FORMAT csv, HEADER)`` brings it back.

    Raises:
        ArchiveError: there is such a file already, or it cannot be written.
        SourceUnavailableError: the table cannot be read.

    """
    with _new_file(path) as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            rows, content = _copy(table, packed)
        raw.flush()
        os.fsync(raw.fileno())
        made = Archive(
            table=table.name,
            rows=rows,
            sha256=_sha256_of(path),
            content_sha256=content,
            made_at=now.isoformat(),
        )
        with _new_file(_beside(path)) as beside:
            beside.write(json.dumps(asdict(made), indent=2).encode() + b"\n")
    return made


def read_archive(table: Table, path: Path) -> Archive:
    """Return what an archive of before has, after looking whether it is whole.

    Raises:
        ArchiveError: it is not, or is another table's.

    """
    try:
        found = Archive(**json.loads(_beside(path).read_text(encoding="utf-8")))
        is_whole = found.sha256 == _sha256_of(path)
    except (OSError, ValueError, TypeError) as exc:
        raise ArchiveError(
            f"{path} is no whole archive: {_beside(path).name}, which is written last, does not "
            "describe it. Name another file, or delete what is left of it."
        ) from exc
    if not is_whole:
        raise ArchiveError(f"{path} is not what it was when it was written: its SHA-256 differs.")
    if found.table != table.name:
        raise ArchiveError(f"{path} is an archive of {found.table}, not of {table.name}.")
    return found


def drop(table: Table, archived: Archive) -> None:
    """Drop the table, if it holds what the archive holds: compared while nobody else can write.

    Raises:
        ArchiveError: it holds something else, or is a table of this project's own.
        SourceUnavailableError: it is in use, something depends on it, or it may not be dropped.

    """
    if table.name.rpartition(".")[2] in _own_tables():
        raise ArchiveError(f"{table.name} is a table of this project. Nothing was dropped.")
    with table.answering("dropped"), transaction.atomic(using=table.alias):
        table.fetch("SELECT set_config('lock_timeout', '5s', true)")
        with table.connection.cursor() as cursor:
            cursor.execute(table.statement("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE"), [])
        rows, content = _copy(table, None)
        if (rows, content) != (archived.rows, archived.content_sha256):
            raise ArchiveError(
                f"{table.name} has {rows:,} rows, and the archive {archived.rows:,}, or they say "
                "something else by now. Nothing was dropped: archive it again."
            )
        with table.connection.cursor() as cursor:
            cursor.execute(table.statement("DROP TABLE {}"), [])


def _own_tables() -> set[str]:
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True)}  # noqa: SLF001


def _copy(table: Table, to: gzip.GzipFile | None) -> tuple[int, str]:
    """Read the whole table in one snapshot; return its number of rows, and the text's SHA-256."""
    content = hashlib.sha256()
    with table.answering("archived"), transaction.atomic(using=table.alias):
        table.fetch("SELECT set_config('statement_timeout', '0', true)")
        with table.connection.cursor() as wrapped, table.connection.wrap_database_errors:
            cursor = cast("Any", wrapped)  # psycopg's own: Django knows no COPY
            with cursor.copy(table.statement(_COPY), []) as blocks:
                for block in blocks:
                    content.update(block)
                    if to is not None:
                        to.write(bytes(block))
            return int(cursor.rowcount), content.hexdigest()


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that was not there; take it away again if it does not become whole."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    except FileExistsError as exc:
        raise ArchiveError(f"{path} is there already, and is never overwritten.") from exc
    except OSError as exc:
        raise ArchiveError(f"{path} cannot be written: {exc.strerror}.") from exc
    try:
        with os.fdopen(number, "wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
