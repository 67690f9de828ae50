"""Every line of a small legacy shop is accounted for: what becomes of it, counted by store.

The samples of all four stores of sessions are of one shop at one moment; they are read by the
adapters' own mappings and merged by session.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from contextlib import suppress
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from legacy_adapters import sample_world
from legacy_adapters.cookie import mapping as cookie
from legacy_adapters.cookie.tokens import Secrets
from legacy_adapters.database import mapping as database
from legacy_adapters.exceptions import LegacyTokenError, UnreadableRecordError
from legacy_adapters.local_storage import blobs
from legacy_adapters.local_storage import mapping as local_storage
from legacy_adapters.merging import Candidate, merge
from legacy_adapters.stores import Store
from sessions_unified.flow import get_flow
from tests.legacy_tokens import open_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sessions_unified.snapshot import SessionSnapshot

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "legacy"
SECRETS = Secrets(
    trusted=("shop-production-secret-0123456789abcdef",),
    compromised=("your-secret-key-change-in-production",),
)
LINES = {"database": 215, "cookie": 105, "memory_cache": 56, "local_storage": 72}

# What becomes of each row, token, entry of the cache, and entry of a browser.
OUTCOMES = {
    "database": {"imported": 147, "merged": 68},
    "cookie": {
        "imported": 3,
        "merged": 42,
        "refused: expired": 17,
        "refused: compromised": 18,
        "refused: signature": 14,
        "refused: header": 11,
    },
    "memory_cache": {"imported": 6, "merged": 50},
    "local_storage": {
        "agrees": 120,
        "known to the browser alone": 14,
        "contradicts: email": 2,
        "contradicts: transaction_id": 2,
        "contradicts: email, transaction_id": 1,
        "contradicts: created_at": 4,
        "contradicts: status, current_step, upsells, transaction_id, created_at": 1,
    },
}
BROWSERS = {"read": 68, "It is not valid JSON": 4}

_SQL_VALUE = re.compile(r"'(?:[^']|'')*'|NULL|ARRAY\[[^\]]*\]::text\[\]|[-\d.]+")
_SQL_TEXT = re.compile(r"'((?:[^']|'')*)'")


def sql_rows() -> Iterator[dict[str, Any]]:
    """Yield the rows of the table as the adapter reads them."""
    text = resources.files(sample_world).joinpath("database.sql").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        values = line.partition(" VALUES (")[2].rpartition(") ON CONFLICT")[0]
        parts = [sql_value(found[0]) for found in _SQL_VALUE.finditer(values)]
        row = dict(zip(database.COLUMNS, parts, strict=True))
        for name in ("customer_info", "products"):
            row[name] = json.loads(row[name], parse_float=Decimal) if row[name] else None
        yield row


def sql_value(text: str) -> Any:
    """Return a literal's value."""
    if text == "NULL":
        return None
    if text.startswith("ARRAY"):
        return [found.replace("''", "'") for found in _SQL_TEXT.findall(text)]
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return Decimal(text)


def tokens() -> list[str]:
    lines = (SAMPLES / "cookies.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["token"] for line in lines]


def browsers() -> list[blobs.Blob]:
    return [blobs.parse(path.read_bytes()) for path in sorted(SAMPLES.glob("local_storage/*"))]


def read(store: Store, make: Callable[[], SessionSnapshot]) -> Candidate | str:
    """Return a store's copy, or why there is none."""
    try:
        return Candidate(store=store, session=make())
    except UnreadableRecordError as exc:
        return f"unreadable: {exc.reason}"
    except LegacyTokenError as exc:
        return f"refused: {exc.code}"


def of_row(row: dict[str, Any]) -> SessionSnapshot:
    return database.to_session(row, flow=get_flow(), currency="USD")


def of_token(token: str) -> SessionSnapshot:
    claims = open_token(token, SECRETS, now=sample_world.time_zero())
    data = {name: value for name, value in claims.items() if name not in {"iat", "exp"}}
    return cookie.to_session(data, store=Store.COOKIE, flow=get_flow(), currency="USD")


def of_entry(data: dict[str, Any]) -> SessionSnapshot:
    return cookie.to_session(data, store=Store.MEMORY_CACHE, flow=get_flow(), currency="USD")


def of_browser(entry: Any) -> SessionSnapshot:
    return local_storage.to_session(entry, flow=get_flow(), currency="USD")


@cache
def trusted_copies() -> tuple[Candidate | str, ...]:
    """Return what the server's stores and the signed cookies say, line by line."""
    cached = json.loads((SAMPLES / "memory_cache.json").read_text(encoding="utf-8"))
    return (
        *(read(Store.DATABASE, lambda row=row: of_row(row)) for row in sql_rows()),
        *(read(Store.COOKIE, lambda token=token: of_token(token)) for token in tokens()),
        *(read(Store.MEMORY_CACHE, lambda data=data: of_entry(data)) for _, data in cached),
    )


@cache
def by_session() -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = defaultdict(list)
    for copy in trusted_copies():
        if isinstance(copy, Candidate):
            found[copy.session.id].append(copy)
    return found


def outcome(copy: Candidate) -> str:
    """Return what becomes of a trusted copy, with the others of its session."""
    copies = by_session()[copy.session.id]
    result = merge(copies)
    fields = ", ".join(conflict.field for conflict in result.conflicts)
    if result.is_blocked:
        return f"conflicting: {fields}"
    return f"merged, noted: {fields}" if fields else "merged" if len(copies) > 1 else "imported"


def browsers_outcome(said: Candidate) -> str:
    """Return what becomes of a browser's word."""
    known = by_session().get(said.session.id, [])
    if not known:
        return "known to the browser alone"
    conflicts = [each.field for each in merge([*known, said]).conflicts if each.rule == "browser"]
    return f"contradicts: {', '.join(conflicts)}" if conflicts else "agrees"


def found_outcomes() -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    stores = [
        store for store in ("database", "cookie", "memory_cache") for _ in range(LINES[store])
    ]
    for store, copy in zip(stores, trusted_copies(), strict=True):
        found[store][copy if isinstance(copy, str) else outcome(copy)] += 1
    for blob in browsers():
        for broken in blob.broken:
            if broken.key is not None:
                found["local_storage"][f"broken: {broken.reason}"] += 1
        for entry in blob.entries.values():
            said = read(Store.LOCAL_STORAGE, lambda entry=entry: of_browser(entry))
            found["local_storage"][said if isinstance(said, str) else browsers_outcome(said)] += 1
    return {store: dict(counts) for store, counts in found.items()}


def test_what_becomes_of_every_line() -> None:
    assert found_outcomes() == OUTCOMES


def test_what_becomes_of_every_browser() -> None:
    wholes = [[each for each in blob.broken if each.key is None] for blob in browsers()]

    reasons = Counter(each.reason.partition(" at ")[0] for whole in wholes for each in whole)

    assert {**reasons, "read": wholes.count([])} == BROWSERS


@pytest.mark.parametrize("store", ["database", "cookie", "memory_cache"])
def test_no_line_is_left_out(store: str) -> None:
    assert sum(OUTCOMES[store].values()) == LINES[store] == lines_of(store)


def test_no_browser_and_none_of_its_entries_is_left_out() -> None:
    texts = [path.read_bytes() for path in sorted(SAMPLES.glob("local_storage/*"))]
    entries = 0
    for text in texts:
        with suppress(ValueError):
            entries += len(json.loads(text))

    assert sum(BROWSERS.values()) == len(texts) == LINES["local_storage"]
    assert sum(OUTCOMES["local_storage"].values()) == entries


def lines_of(store: str) -> int:
    if store == "database":
        text = resources.files(sample_world).joinpath("database.sql").read_text(encoding="utf-8")
        return text.count("INSERT INTO")
    if store == "cookie":
        return len(tokens())
    return len(json.loads((SAMPLES / "memory_cache.json").read_text(encoding="utf-8")))
