"""The manager's methods for async callers: the same, in Django's thread for the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from sessions_unified.health import SessionHealth
    from sessions_unified.snapshot import SessionSnapshot


class AsyncTwins:
    """``a…`` twins of `UnifiedSessionManager`'s methods."""

    async def aget_session(self: Any, session_id: str, *, fresh: bool = False) -> SessionSnapshot:
        """As ``get_session``."""
        answer: SessionSnapshot = await sync_to_async(self.get_session)(session_id, fresh=fresh)
        return answer

    async def aget_sessions(self: Any, session_ids: Iterable[str]) -> dict[str, SessionSnapshot]:
        """As ``get_sessions``."""
        answer: dict[str, SessionSnapshot] = await sync_to_async(self.get_sessions)(session_ids)
        return answer

    async def avalidate_session(self: Any, session_id: str) -> SessionHealth:
        """As ``validate_session``."""
        answer: SessionHealth = await sync_to_async(self.validate_session)(session_id)
        return answer

    async def acreate_session(self: Any, **fields: Any) -> SessionSnapshot:
        """As ``create_session``."""
        answer: SessionSnapshot = await sync_to_async(self.create_session)(**fields)
        return answer

    async def aupdate_session(
        self: Any,
        session_id: str,
        changes: Mapping[str, Any],
        *,
        if_version: int | None = None,
    ) -> SessionSnapshot:
        """As ``update_session``."""
        answer: SessionSnapshot = await sync_to_async(self.update_session)(
            session_id, changes, if_version=if_version
        )
        return answer

    async def adelete_session(self: Any, session_id: str) -> None:
        """As ``delete_session``."""
        await sync_to_async(self.delete_session)(session_id)

    async def aextend_session(
        self: Any, session_id: str, duration: timedelta | None = None
    ) -> SessionSnapshot:
        """As ``extend_session``."""
        answer: SessionSnapshot = await sync_to_async(self.extend_session)(session_id, duration)
        return answer

    async def atouch_session(self: Any, session_id: str) -> None:
        """As ``touch_session``."""
        await sync_to_async(self.touch_session)(session_id)
