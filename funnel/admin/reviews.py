"""The page on which a person decides on a charge in review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from funnel.admin.reasons import ReasonField
from funnel.exceptions import ResolutionRefusedError
from funnel.payments.imported import GATEWAY as IMPORTED
from funnel.payments.models import ChargeAttempt
from funnel.payments.recovery.reviewing import (
    Decision,
    closable_at,
    not_executed,
    settle_with,
)
from sessions_unified.admin import formatting
from sessions_unified.admin.base import staff_manager
from sessions_unified.clock import get_clock
from sessions_unified.exceptions import InvalidChangeError, TierUnavailableError

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User
    from django.http import HttpRequest, HttpResponse

    from funnel.admin.attempts import ChargeAttemptAdmin

PERMISSION: Final = "funnel.resolve_charge"
_SETTLE: Final = "settle"
_CLOSE: Final = "close"


class SettleForm(forms.Form):
    """It was executed: as which transaction."""

    transaction_id = forms.RegexField(
        r"^[\x21-\x7e]+$",
        max_length=100,
        label="Transaction id",
        widget=forms.TextInput(
            attrs={"class": "su-wide", "autocomplete": "off", "spellcheck": "false"}
        ),
        error_messages={"invalid": "Give the id exactly as the gateway shows it."},
    )
    reason = ReasonField()


class CloseForm(forms.Form):
    """It was not executed."""

    reason = ReasonField()


def may_decide(user: User | AnonymousUser, attempt: ChargeAttempt) -> bool:
    """Tell whether there is something to decide, and this user may."""
    return attempt.state == ChargeAttempt.State.NEEDS_REVIEW and user.has_perm(PERMISSION)


def review_view(
    attempts: ChargeAttemptAdmin, request: HttpRequest, attempt: ChargeAttempt
) -> HttpResponse:
    """Show what is known of a charge in review, and take a decision.

    Raises:
        PermissionDenied: this user does not decide on charges.

    """
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    page = reverse("admin:funnel_chargeattempt_change", args=[attempt.pk])
    choice = request.POST.get("decision", "")
    settle = SettleForm(request.POST if choice == _SETTLE else None, prefix=_SETTLE)
    close = CloseForm(request.POST if choice == _CLOSE else None, prefix=_CLOSE)
    form: forms.Form = settle if choice == _SETTLE else close
    if request.method == "POST" and form.is_valid():
        refusal = _decide(request, attempt, form)
        if refusal is None:
            attempts.log_change(request, attempt, _sentence(attempt))
            messages.success(request, _sentence(attempt))
            return redirect(page)
        form.add_error(None, refusal)
    elif attempt.state != ChargeAttempt.State.NEEDS_REVIEW:
        messages.info(request, "This charge is not in review any more.")
        return redirect(page)
    context = _context(attempt) | {"settle": settle, "close": close, "back": page}
    context |= {"opts": attempts.opts, "media": attempts.media, "title": "Decide on a charge"}
    context |= attempts.admin_site.each_context(request)
    return TemplateResponse(request, "admin/funnel/review.html", context)


def _decide(request: HttpRequest, attempt: ChargeAttempt, form: forms.Form) -> str | None:
    """Carry out the decision; return why it was refused, if it was."""
    given = form.cleaned_data
    try:
        decision = Decision(by=request.user.get_username(), reason=given["reason"])
        if isinstance(form, SettleForm):
            settle_with(staff_manager(request), attempt, given["transaction_id"], decision)
        else:
            not_executed(staff_manager(request), attempt, decision)
    except (ResolutionRefusedError, InvalidChangeError) as exc:
        return str(exc)
    except TierUnavailableError:
        return "The database did not answer. Look at the charge before trying again."
    return None


def _sentence(attempt: ChargeAttempt) -> str:
    state = attempt.get_state_display().lower()
    if attempt.state == ChargeAttempt.State.SUCCEEDED:
        return f"Settled with transaction {attempt.transaction_id}: the charge {state}."
    return f"Decided: the charge is {state}."


def _context(attempt: ChargeAttempt) -> dict[str, Any]:
    now = get_clock().now()
    possible_at = closable_at(attempt)
    return {
        "attempt": attempt,
        "session_link": formatting.session_link(attempt.session_id),
        "amount": formatting.money(attempt.amount, attempt.currency),
        "started": formatting.when(attempt.created_at, now),
        "waiting": formatting.when(attempt.review_since, now),
        "is_imported": attempt.gateway == IMPORTED,
        "is_early": now < possible_at,
        "possible_at": formatting.absolute(possible_at),
        "choices": {"settle": _SETTLE, "close": _CLOSE},
    }
