"""A person's decision on a conflict: the session's values stay, or some of the record's are taken.

Nothing is decided on what the person has not seen: a session, a record or a conflict that moved on
since the page was shown is refused, and nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from legacy_adapters.conflicts.admitting import admit
from legacy_adapters.conflicts.cases import read_record
from legacy_adapters.conflicts.takeable import obstacle, whole_obstacle
from legacy_adapters.exceptions import ResolutionRefusedError
from legacy_adapters.merging.comparing import KEPT_ASIDE
from legacy_adapters.migration.importing.records import DECIDED, MIXED
from legacy_adapters.models import ImportRecord, SessionConflict
from legacy_adapters.tables import atomic, rows
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import SessionNotFoundError
from sessions_unified.importing import is_taken
from sessions_unified.models import UnifiedSession
from sessions_unified.signals import session_imported
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from django.db.models import QuerySet

    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot

_MOVED: Final = (
    "The session has changed since this page was shown. Nothing was written; look again."
)
_RECORD_MOVED: Final = (
    "The legacy record has changed since this page was shown. Nothing was written; look again."
)
_DECIDED: Final = (
    "Somebody else has decided this conflict in the meantime, or both sides agree by now. "
    "Nothing was written."
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the person saw.

    Attributes:
        version: of the session; None if there was none, or a tombstone.
        digest: of the legacy record.

    """

    version: int | None
    digest: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Who decided, by user name, and why."""

    by: str
    reason: str


def keep_ours(conflict_id: int, shown: Shown, decision: Decision) -> None:
    """Let the session stand; the record is known as it is, and only another state is met again.

    A session that the conflict has kept out comes in as its other copies say; a tombstone stays.

    Raises:
        ResolutionRefusedError: somebody was first, or what was shown is no longer so.
        SourceUnavailableError: the legacy store did not answer.

    """
    with atomic():
        conflict = _open_conflict(conflict_id)
        if shown.digest != conflict.digest and read_record(conflict).digest != shown.digest:
            raise ResolutionRefusedError(_RECORD_MOVED)
        live = rows(UnifiedSession).filter(pk=conflict.session_id, deleted_at=None)
        if live.values_list("version", flat=True).first() != shown.version:
            raise ResolutionRefusedError(_MOVED)
        if shown.version is None and not is_taken(get_tiers(), conflict.session_id):
            admit(get_tiers(), conflict)
        _close(conflict, SessionConflict.State.KEPT, shown, decision, follows_at=DECIDED)


def take_theirs(
    manager: UnifiedSessionManager,
    conflict_id: int,
    shown: Shown,
    fields: Collection[str],
    decision: Decision,
) -> SessionSnapshot:
    """Write the record's values of ``fields`` into the session and return it.

    One transaction under the session's lock: the session with its event, whose actor is the
    manager's; the receivers of `session_imported`, who record what was paid; the decision.

    Raises:
        ResolutionRefusedError: as `keep_ours`, or a field may not be taken.
        SourceUnavailableError: the legacy store did not answer.
        InvalidChangeError: a value of the record is none that a session holds.

    """
    conflict = _still_open(rows(SessionConflict), conflict_id)
    found = read_record(conflict)  # before the lock: a store may be slow
    if found.session is None or found.digest != shown.digest:
        raise ResolutionRefusedError(_RECORD_MOVED)
    try:
        with manager.lock_session(conflict.session_id, allow_expired=True) as locked:
            conflict = _open_conflict(conflict_id)
            if locked.session.version != shown.version:
                raise ResolutionRefusedError(_MOVED)
            _check(locked.session, found.session, fields, is_held=locked.holds > 0)
            after = locked.update(
                {name: getattr(found.session, name) for name in fields},
                kind="session_merged",
                data={"source": conflict.source, "decision": "taken"},
                checks_flow=False,
            )
            session_imported.send(sender=UnifiedSession, sessions=[after])
            left = set(found.differing(after)) - KEPT_ASIDE
            follows_at = DECIDED if left else MIXED
            taken = SessionConflict.State.TAKEN
            _close(conflict, taken, shown, decision, follows_at=follows_at)
    except SessionNotFoundError:
        raise ResolutionRefusedError(_MOVED) from None
    return after


def _check(
    ours: SessionSnapshot, theirs: SessionSnapshot, fields: Collection[str], *, is_held: bool
) -> None:
    refusals = [obstacle(name, ours, theirs, is_held=is_held) for name in sorted(fields)]
    problem = next(filter(None, refusals), "") or whole_obstacle(ours, theirs, fields)
    if problem or not fields:
        raise ResolutionRefusedError(problem or "Choose at least one field to take.")


def _open_conflict(conflict_id: int) -> SessionConflict:
    """Lock the conflict: of two who decide at once the second finds it decided."""
    return _still_open(rows(SessionConflict).select_for_update(), conflict_id)


def _still_open(conflicts: QuerySet[SessionConflict], conflict_id: int) -> SessionConflict:
    conflict = conflicts.filter(pk=conflict_id).first()
    if conflict is None or conflict.state != SessionConflict.State.OPEN:
        raise ResolutionRefusedError(_DECIDED)
    return conflict


def _close(
    conflict: SessionConflict,
    state: SessionConflict.State,
    shown: Shown,
    decision: Decision,
    *,
    follows_at: int,
) -> None:
    now = _now()
    rows(ImportRecord).update_or_create(
        source=conflict.source,
        session_id=conflict.session_id,
        defaults={
            "digest": shown.digest,
            "unified_version": follows_at,
            "imported_at": now,
        },
    )
    conflict.state, conflict.digest = state, shown.digest
    conflict.resolved_by, conflict.reason = decision.by, decision.reason
    conflict.resolved_at = now
    conflict.save()


def _now() -> datetime:
    return get_clock().now()
