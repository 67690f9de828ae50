"""Which card of a session is on file: attempts are the authority, the session holds a copy."""

from __future__ import annotations

from funnel.payments.models import ChargeAttempt


def stored_card(session_id: str) -> str | None:
    """Return the vault id of the newest success that has one: the card that extras are charged to.

    A card that has paid for an extra takes the place of the order's.
    """
    paid = ChargeAttempt.objects.filter(
        session_id=session_id, state=ChargeAttempt.State.SUCCEEDED
    ).order_by("-pk")
    return next((attempt.vault_id for attempt in paid if attempt.vault_id), None)
