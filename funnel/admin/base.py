"""What the rows of money have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from funnel.payments.models import ChargeAttempt
from sessions_unified.admin import formatting
from sessions_unified.admin.base import ExactSearchAdmin
from sessions_unified.clock import get_clock
from sessions_unified.sealing import is_present

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

_LOOKS = {
    ChargeAttempt.State.SUCCEEDED: "completed",
    ChargeAttempt.State.DECLINED: "failed",
    ChargeAttempt.State.REJECTED: "failed",
    ChargeAttempt.State.CLAIMED: "processing",
    ChargeAttempt.State.UNKNOWN: "expired",
    ChargeAttempt.State.NEEDS_REVIEW: "expired",
    ChargeAttempt.State.SURPLUS: "expired",
}


def state_badge(attempt: ChargeAttempt) -> SafeString:
    """Return an attempt's state as a coloured badge."""
    state = ChargeAttempt.State(attempt.state)
    look = _LOOKS.get(state, "other")
    return formatting.coloured(look, formatting.words(state))


class MoneyAdmin(ExactSearchAdmin[Any]):
    """What the rows of money have in common."""

    sortable_by = ()
    ordering = ("-id",)

    @admin.display(description="session")
    def session(self, row: Any) -> SafeString:
        """The session, linked."""
        return formatting.session_link(row.session_id)

    @admin.display(description="amount")
    def total(self, row: Any) -> str:
        """The amount with its currency."""
        return formatting.money(row.amount, row.currency)

    @admin.display(description="created")
    def created(self, row: Any) -> SafeString | str:
        """When it was written."""
        return formatting.when(row.created_at, get_clock().now())

    @admin.display(description="card in the vault")
    def vault(self, row: Any) -> str:
        """Whether there is one; never which."""
        return formatting.presence(is_present(row, "vault_id"))
