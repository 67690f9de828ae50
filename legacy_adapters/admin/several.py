"""Keeping ours for several conflicts at once, by one reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.template.response import TemplateResponse

from legacy_adapters.admin.deciding import ReasonForm, refusal_of, sentence_of
from legacy_adapters.conflicts.resolving import Decision, Shown, keep_ours
from legacy_adapters.models import SessionConflict
from legacy_adapters.tables import rows
from sessions_unified.admin import formatting
from sessions_unified.models import UnifiedSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from legacy_adapters.admin.conflicts import SessionConflictAdmin

MAX_AT_ONCE: Final = 100
_CONFIRMED: Final = "confirmed"


def keep_several(
    conflicts: SessionConflictAdmin, request: HttpRequest, queryset: QuerySet[SessionConflict]
) -> HttpResponse | None:
    """Keep ours for several, after asking for one reason; None when the list is to be shown."""
    found = list(queryset[: MAX_AT_ONCE + 1])
    chosen = [each for each in found if each.state == SessionConflict.State.OPEN]
    if len(found) > MAX_AT_ONCE or not chosen:
        text = f"Choose at most {MAX_AT_ONCE} conflicts at once." if chosen else "None is open."
        messages.error(request, f"Keep ours: {text} Nothing was done.")
        return None
    is_confirmed = _CONFIRMED in request.POST
    form = ReasonForm(request.POST if is_confirmed else None)
    if is_confirmed and form.is_valid():
        decision = Decision(by=request.user.get_username(), reason=form.cleaned_data["reason"])
        _keep_each(conflicts, request, chosen, decision)
        return None
    return _ask(conflicts, request, chosen, form)


def _keep_each(
    conflicts: SessionConflictAdmin,
    request: HttpRequest,
    chosen: Sequence[SessionConflict],
    decision: Decision,
) -> None:
    number = 0
    for conflict in chosen:
        version, _, digest = request.POST.get(f"shown-{conflict.pk}", "").partition(":")
        shown = Shown(version=int(version) if version.isdecimal() else None, digest=digest)
        refusal = refusal_of(lambda c=conflict, s=shown: keep_ours(c.pk, s, decision))  # type: ignore[misc]
        if refusal is None:
            number += 1
            conflicts.log_change(request, conflict, sentence_of(()))
        else:
            messages.warning(request, f"Not decided: {conflict.session_id}. {refusal}")
    if number:
        noun = "conflict was" if number == 1 else "conflicts were"
        messages.success(request, f"{number} {noun} decided: the sessions' own values are kept.")


def _ask(
    conflicts: SessionConflictAdmin,
    request: HttpRequest,
    chosen: Sequence[SessionConflict],
    form: ReasonForm,
) -> HttpResponse:
    ids = [each.session_id for each in chosen]
    live = rows(UnifiedSession).filter(pk__in=ids, deleted_at=None)
    versions = dict(live.values_list("pk", "version"))
    lines = [
        {
            "pk": each.pk,
            "link": formatting.session_link(each.session_id),
            "fields": conflicts.differing(each),
            "store": each.source,
            "shown": f"{versions.get(each.session_id, '')}:{each.digest}",
        }
        for each in chosen
    ]
    context = {
        **conflicts.admin_site.each_context(request),
        "title": "Keep ours?",
        "opts": conflicts.opts,
        "media": conflicts.media,
        "lines": lines,
        "form": form,
        "back": request.get_full_path(),
        "checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/legacy_adapters/keep_several.html", context)
