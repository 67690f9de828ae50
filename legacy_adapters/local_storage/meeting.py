"""The caller's own session meets its entry: contradictions are recorded, what lacks comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from legacy_adapters.conflicts import recording
from legacy_adapters.local_storage import copying
from legacy_adapters.merging import Candidate, evidence, merge
from legacy_adapters.stores import Store
from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.exceptions import InvalidChangeError, VersionConflictError
from sessions_unified.flow import COMPLETED

if TYPE_CHECKING:
    from collections.abc import Callable

    from legacy_adapters.local_storage.copying import Refusals
    from legacy_adapters.local_storage.readings import Reading
    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot

    Lacking = Callable[[SessionSnapshot], dict[str, Any] | None]

_ATTEMPTS: Final = 3


def meet(
    session: SessionSnapshot,
    reading: Reading,
    *,
    source: str,
    manager: UnifiedSessionManager,
    refusals: Refusals,
) -> SessionSnapshot:
    """Return the session after its browser's entry; repeating it changes nothing.

    An order that is complete takes nothing more. What is refused is told in ``refusals``.

    Raises:
        SessionNotFoundError, SessionExpiredError: it is over by now.
        DatabaseUnavailableError: nothing more was written.

    """
    merged = merge(
        [
            Candidate(store=Store.UNIFIED, session=session),
            Candidate(store=Store.LOCAL_STORAGE, session=reading.session),
        ]
    )
    if merged.conflicts:
        finding = recording.Finding(
            session_id=session.id,
            digest=reading.record.digest,
            evidence=evidence.of_conflicts(merged.conflicts),
        )
        recording.record(
            source=source,
            findings=[finding],
            now=get_clock().now(),
            using=get_conf().DATABASE_ALIAS,
        )
    if session.status == COMPLETED:
        return session

    def customer(now: SessionSnapshot) -> dict[str, Any] | None:
        return copying.lacking_customer(now, merged.session, reading.record, refusals)

    def order(now: SessionSnapshot) -> dict[str, Any] | None:
        return copying.lacking_order(now, reading.session, refusals)

    for lacking in (customer, order):
        session = _take(session, lacking, manager, refusals)
    return session


def _take(
    session: SessionSnapshot, lacking: Lacking, manager: UnifiedSessionManager, refusals: Refusals
) -> SessionSnapshot:
    """Write what ``session`` lacks, to the very state that lacks it.

    One that others keep changing meanwhile is left: the next sync finds what is still lacking.
    """
    for _ in range(_ATTEMPTS):
        changes = lacking(session)
        if changes is None:
            return session
        try:
            return manager.update_session(session.id, changes, if_version=session.version)
        except VersionConflictError:
            session = manager.get_session(session.id, fresh=True)
        except InvalidChangeError as exc:
            refusals.add(exc.code, str(exc))
            return session
    return session
