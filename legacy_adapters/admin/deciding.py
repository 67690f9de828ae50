"""The page on which a person decides on a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import messages
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from legacy_adapters.admin.base import moment
from legacy_adapters.admin.page import build_page
from legacy_adapters.conflicts.resolving import Decision, Shown, keep_ours, take_theirs
from legacy_adapters.conflicts.takeable import TAKEABLE
from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.models import SessionConflict
from sessions_unified.admin import formatting
from sessions_unified.admin.base import sees_pii, staff_manager
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    InvalidChangeError,
    SealedValueError,
)
from sessions_unified.tiers import get_tiers
from sessions_unified.validators import no_card_data

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpRequest, HttpResponse

    from legacy_adapters.admin.conflicts import SessionConflictAdmin

PERMISSION: Final = "legacy_adapters.resolve_conflicts"
_PAGE: Final = "admin:legacy_adapters_sessionconflict_change"
_LIST: Final = "admin:legacy_adapters_sessionconflict_changelist"
_KEEP: Final = "keep"
_TAKE: Final = "take"


class ReasonForm(forms.Form):
    """Why it is decided so."""

    reason = forms.CharField(
        max_length=500,
        label="Reason",
        widget=forms.Textarea(attrs={"class": "su-wide", "rows": 3}),
        validators=[no_card_data],
    )


class DecisionForm(ReasonForm):
    """A decision on what was shown.

    ``version`` and ``digest`` say what the page showed of the session and of the record.
    """

    decision = forms.ChoiceField(choices=[(_KEEP, "Keep ours"), (_TAKE, "Take the chosen")])
    fields_taken = forms.MultipleChoiceField(
        choices=[(name, name) for name in TAKEABLE], required=False
    )
    version = forms.IntegerField(required=False)
    digest = forms.CharField(max_length=64)

    def clean(self) -> dict[str, Any]:
        """Refuse what says two things at once."""
        given = super().clean() or self.cleaned_data
        is_keeping = given.get("decision") == _KEEP
        if is_keeping and given.get("fields_taken"):
            text = "Fields are chosen to be taken. Take them, or choose none to keep ours."
            raise forms.ValidationError(text)
        if not is_keeping and not given.get("fields_taken"):
            raise forms.ValidationError("Choose at least one field to take.")
        return given


def show(
    conflicts: SessionConflictAdmin,
    request: HttpRequest,
    conflict: SessionConflict,
    form: DecisionForm | None = None,
) -> HttpResponse:
    """Answer with a conflict's page, and the way to a decision for those who may."""
    shows_pii = sees_pii(request.user)
    page = build_page(get_tiers(), conflict, shows_pii=shows_pii)
    has_permission = conflicts.has_resolve_permission(request)
    is_open = conflict.state == SessionConflict.State.OPEN
    context = {
        **conflicts.admin_site.each_context(request),
        "title": "Conflict",
        "opts": conflicts.opts,
        "media": conflicts.media,
        "conflict": conflict,
        "page": page,
        "badge": conflicts.state_shown(conflict),
        "identifier": formatting.identifier(conflict.session_id),
        "session_url": formatting.session_url(conflict.session_id),
        "seen": moment(conflict.seen_at),
        "resolved": moment(conflict.resolved_at),
        "shows_pii": shows_pii,
        "is_open": is_open,
        "may_decide": is_open and page.can_be_decided and has_permission,
        "has_permission": has_permission,
        "form": form or DecisionForm(),
        "problems": _problems(form),
        "chosen": request.POST.getlist("fields_taken"),
        "resolve_url": reverse("admin:legacy_adapters_sessionconflict_resolve", args=[conflict.pk]),
    }
    return TemplateResponse(request, "admin/legacy_adapters/conflict.html", context)


def _problems(form: DecisionForm | None) -> list[str]:
    """Return what is wrong with a decision as a whole; what is wrong with its reason stands there.

    A decision that was overtaken is told of on a page without a form.
    """
    found = {} if form is None else form.errors
    return [str(text) for name, texts in found.items() if name != "reason" for text in texts]


def resolve(
    conflicts: SessionConflictAdmin, request: HttpRequest, conflict: SessionConflict
) -> HttpResponse:
    """Carry out a decision; one that is refused is answered with the page as it is now."""
    form = DecisionForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        refusal = refusal_of(lambda: _decide(request, conflict, given))
        if refusal is None:
            sentence = sentence_of(given["fields_taken"])
            conflicts.log_change(request, conflict, sentence)
            messages.success(request, sentence)
            return redirect(reverse(_PAGE, args=[conflict.pk]))
        form.add_error(None, refusal)
        now = conflicts.get_object(request, str(conflict.pk))
        if now is None:  # a backfill has found both sides to agree
            messages.warning(request, refusal)
            return redirect(reverse(_LIST))
        conflict = now
    return show(conflicts, request, conflict, form)


def _decide(request: HttpRequest, conflict: SessionConflict, given: dict[str, Any]) -> None:
    shown = Shown(version=given["version"], digest=given["digest"])
    decision = Decision(by=request.user.get_username(), reason=given["reason"])
    if given["decision"] == _KEEP:
        keep_ours(conflict.pk, shown, decision)
    else:
        take_theirs(staff_manager(request), conflict.pk, shown, given["fields_taken"], decision)


def refusal_of(decide: Callable[[], None]) -> str | None:
    """Return why a decision was refused; None if it was carried out."""
    try:
        decide()
    except (LegacyAdaptersError, InvalidChangeError, SealedValueError) as exc:
        return str(exc)
    except DatabaseUnavailableError:
        return "The database did not answer. Look at the conflict before trying again."
    return None


def sentence_of(taken: Sequence[str]) -> str:
    """Return what was decided: which fields were taken, or none."""
    if not taken:
        return "Decided: the session's own values are kept."
    names = ", ".join(formatting.words(name) for name in taken)
    return f"Decided: taken from the legacy record: {names}."
