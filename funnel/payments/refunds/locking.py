"""The locks of a refund, in the order of every charge: the session, then the attempt."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from django.db import transaction

from funnel.payments.models import ChargeAttempt
from sessions_unified.exceptions import SessionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessions_unified.locking import LockedSession
    from sessions_unified.manager import UnifiedSessionManager


@contextmanager
def lock_attempt(
    manager: UnifiedSessionManager, attempt_id: int
) -> Iterator[tuple[LockedSession | None, ChargeAttempt]]:
    """Run one short transaction with an attempt locked, and its session if there still is one.

    Attempts outlive their session: money is given back after a purge too.

    Raises:
        ChargeAttempt.DoesNotExist: there is no such attempt.

    """
    session_id = ChargeAttempt.objects.values_list("session_id", flat=True).get(pk=attempt_id)
    with ExitStack() as stack:
        locked: LockedSession | None = None
        try:
            locked = stack.enter_context(
                manager.lock_session(session_id, allow_expired=True, durable=True)
            )
        except SessionNotFoundError:
            stack.enter_context(transaction.atomic(durable=True))
        yield locked, ChargeAttempt.objects.select_for_update().get(pk=attempt_id)
