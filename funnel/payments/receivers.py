"""What the site does when the core imports or deletes sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import connections
from django.dispatch import receiver

from funnel.payments.imported import record_imported
from funnel.payments.models import IdempotencyRecord
from sessions_unified.signals import session_deleted, session_imported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessions_unified.snapshot import SessionSnapshot

_FORGET: Final = "DELETE FROM funnel_idempotencyrecord WHERE session_id = ANY(%s)"


@receiver(session_imported, dispatch_uid="funnel.record_imported")
def on_import(sessions: Sequence[SessionSnapshot], **_: Any) -> None:
    """Record what was already paid, so that it is never charged again."""
    record_imported(sessions)


@receiver(session_deleted, dispatch_uid="funnel.forget_answers")
def on_delete(session_ids: Sequence[str], **_: Any) -> None:
    """Forget stored answers: they hold the shopper's data. Attempts stay: they are the books."""
    # One array, not a list of thousands of literals: a purge comes in batches of that size.
    with connections[IdempotencyRecord.objects.db].cursor() as cursor:
        cursor.execute(_FORGET, [list(session_ids)])
