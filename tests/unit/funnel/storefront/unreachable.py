"""Managers of a shop whose database does not answer (``SESSIONS_UNIFIED["MANAGER"]``)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sessions_unified.exceptions import DatabaseUnavailableError
from sessions_unified.manager import UnifiedSessionManager

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessions_unified.locking import LockedSession
    from sessions_unified.snapshot import SessionSnapshot


class NothingAnswersManager(UnifiedSessionManager):
    """Neither the database nor a cache has the session."""

    def get_session(self, session_id: str, *, fresh: bool = False) -> SessionSnapshot:
        raise DatabaseUnavailableError


class CachesAnswerManager(UnifiedSessionManager):
    """Reads go on from the caches; nothing can be written."""

    def get_session(self, session_id: str, *, fresh: bool = False) -> SessionSnapshot:
        if fresh:
            raise DatabaseUnavailableError
        return super().get_session(session_id)

    @contextmanager
    def lock_session(self, session_id: str, **kwargs: Any) -> Iterator[LockedSession]:
        raise DatabaseUnavailableError
        yield
