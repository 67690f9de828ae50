"""Sessions on two sides for tests of repair: made on both, changed on one, marked, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from legacy_adapters.merging.comparing import differing
from legacy_adapters.migration import marks
from legacy_adapters.models import WriteMark
from sessions_unified import get_manager
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.migrating import table

if TYPE_CHECKING:
    from legacy_adapters.migration.stages.names import Side


def created(**fields: Any) -> str:
    """Create a session on both sides, and return its id; at a stage that writes both."""
    session = get_manager("session.create").create_session(**{"email": "ana@example.org", **fields})
    return session.id


def change_there(session_id: str, **columns: Any) -> None:
    """Change the row as the old code does."""
    there = table().table
    changes = ", ".join(f"{{{name}}} = %s" for name in columns)
    statement = f"UPDATE {{}} SET {changes}, {{updated_at}} = now() WHERE {{id}} = %s"
    with there.connection.cursor() as cursor:
        cursor.execute(there.statement(statement), [*columns.values(), session_id])


def change_here(session_id: str, **fields: Any) -> None:
    """Change our row alone, as a process does that writes it first and then dies."""
    UnifiedSessionManager().update_session(session_id, fields)


def mark(session_id: str, side: Side) -> None:
    tiers = get_tiers()
    marks.put(tiers.database, session_id, side, tiers.clock.now())


def differences(session_id: str) -> tuple[str, ...]:
    """Return the fields in which both sides differ, by the rules that parity has."""
    adapter, tiers = table(), get_tiers()
    record, here = adapter.peek(session_id), tiers.database.peek(session_id)
    assert record is not None
    assert here is not None
    there = adapter.to_unified(record)
    return differing(there, here.session, fields=adapter.fields, now=tiers.clock.now())


def here(session_id: str) -> UnifiedSession:
    return UnifiedSession.objects.get(pk=session_id)


def all_marks() -> list[WriteMark]:
    return list(WriteMark.objects.order_by("session_id"))
