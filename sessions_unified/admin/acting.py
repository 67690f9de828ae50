"""Acts on sessions from the list and from a page: permissions, confirmation, honest messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IS_POPUP_VAR
from django.template.response import TemplateResponse

from sessions_unified.admin.acts import DEFAULT_HOURS, MAX_HOURS, Act, Outcome, Target, carry_out
from sessions_unified.admin.base import GuardedAdmin, staff_manager
from sessions_unified.admin.formatting import badge, marks, session_link, session_url
from sessions_unified.models import UnifiedSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

_CONFIRMED: Final = "confirmed"
_NAMED_AT_MOST: Final = 5
_LEVELS: Final = {
    "done": messages.SUCCESS,
    "unchanged": messages.INFO,
    "refused": messages.WARNING,
}


class HoursForm(forms.Form):
    """How long to extend."""

    hours = forms.IntegerField(
        min_value=1,
        max_value=MAX_HOURS,
        initial=DEFAULT_HOURS,
        help_text=f"From now, 1 to {MAX_HOURS}.",
    )


class ActingAdmin(GuardedAdmin[UnifiedSession]):
    """`ModelAdmin` whose actions are ``acts``, all through the manager."""

    acts: ClassVar[Sequence[Act]] = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a session here."""
        return False

    def may(self, request: HttpRequest, act: Act) -> bool:
        """Tell whether this user has the permission that ``act`` needs."""
        if act.permission == "delete":
            return self.has_delete_permission(request)
        return self.has_change_permission(request)

    def allowed_acts(self, request: HttpRequest) -> list[Act]:
        """Return what this user may do."""
        return [act for act in self.acts if self.may(request, act)]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the acts alone: the site's ``delete_selected`` would leave no tombstone."""
        if IS_POPUP_VAR in request.GET:
            return {}
        return {act.name: (_action(act), act.name, act.label) for act in self.allowed_acts(request)}

    def delete_model(self, request: HttpRequest, obj: UnifiedSession) -> None:
        """Delete through the manager, whoever calls this."""
        staff_manager(request).delete_session(obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[UnifiedSession]) -> None:
        """Delete through the manager, whoever calls this."""
        for session_id in queryset.values_list("pk", flat=True):
            staff_manager(request).delete_session(session_id)

    def act_on(
        self, request: HttpRequest, act: Act, rows: Sequence[UnifiedSession]
    ) -> HttpResponse | None:
        """Do it, or ask first; None when it is done and the caller should redirect."""
        if len(rows) > act.limit:
            text = f"{act.label}: choose at most {act.limit} sessions at once. Nothing was done."
            messages.error(request, text)
            return None
        is_confirmed = request.method == "POST" and (not act.asks or _CONFIRMED in request.POST)
        form = HoursForm(request.POST if is_confirmed else None) if act.asks_hours else None
        if not is_confirmed or (form is not None and not form.is_valid()):
            return self._ask(request, act, rows, form)
        hours = form.cleaned_data["hours"] if form is not None else DEFAULT_HOURS
        targets = [Target(id=row.pk, version=row.version, hours=hours) for row in rows]
        outcomes = carry_out(act, staff_manager(request), targets)
        self._log(request, act, rows, outcomes)
        _tell(request, outcomes)
        return self._show_secrets(request, act, outcomes)

    def _ask(
        self,
        request: HttpRequest,
        act: Act,
        rows: Sequence[UnifiedSession],
        form: HoursForm | None,
    ) -> HttpResponse:
        is_action = "action" in request.POST
        context = {
            **self.admin_site.each_context(request),
            "title": f"{act.label}?",
            "opts": self.opts,
            "media": self.media,
            "act": act,
            "lines": [_line(row) for row in rows],
            "back": request.get_full_path() if is_action else session_url(rows[0].pk),
            "held": sum(row.holds > 0 for row in rows),
            "form": form,
            "is_action": is_action,
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/sessions_unified/confirm.html", context)

    def _show_secrets(
        self, request: HttpRequest, act: Act, outcomes: Sequence[Outcome]
    ) -> HttpResponse | None:
        """Answer with what is shown once, if there is any. No redirect: no cookie carries it."""
        secrets = [(each.session_id, each.secret) for each in outcomes if each.secret]
        if not secrets:
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": act.label,
            "opts": self.opts,
            "media": self.media,
            "secrets": secrets,
            "back": session_url(secrets[0][0]) if len(secrets) == 1 else request.get_full_path(),
            "explanation": act.explanation,
        }
        return TemplateResponse(request, "admin/sessions_unified/secrets.html", context)

    def _log(
        self,
        request: HttpRequest,
        act: Act,
        rows: Sequence[UnifiedSession],
        outcomes: Sequence[Outcome],
    ) -> None:
        """Note it in the admin's own log too: drops and links have no event."""
        for row, outcome in zip(rows, outcomes, strict=True):
            if outcome.result == "done":
                self.log_change(request, row, f"{act.label}: {outcome.text}.")


def _action(act: Act) -> Callable[..., HttpResponse | None]:
    def run(
        model_admin: ActingAdmin, request: HttpRequest, queryset: QuerySet[UnifiedSession]
    ) -> HttpResponse | None:
        return model_admin.act_on(request, act, list(queryset[: act.limit + 1]))

    return run


def _line(row: UnifiedSession) -> dict[str, Any]:
    return {
        "id": row.pk,
        "link": session_link(row.pk),
        "badge": badge(row.status),
        "step": row.current_step,
        "marks": marks(row),
    }


def _tell(request: HttpRequest, outcomes: Sequence[Outcome]) -> None:
    """Say what became of each, those with the same outcome together."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        grouped.setdefault((outcome.result, outcome.text), []).append(outcome.session_id)
    for (result, text), ids in grouped.items():
        messages.add_message(request, _LEVELS[result], f"{text}: {_named(ids)}.")


def _named(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_NAMED_AT_MOST])
    if len(ids) == 1:
        return shown
    more = f" and {len(ids) - _NAMED_AT_MOST} more" if len(ids) > _NAMED_AT_MOST else ""
    return f"{len(ids)} sessions ({shown}{more})"
