"""The control room's page, the figures that keep it up to date, and the buttons' pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.forms import Media
from django.http import Http404, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse

from legacy_adapters.admin.base import LegacyAdmin
from legacy_adapters.admin.control import showing
from legacy_adapters.admin.control.acts import ACTS, Act
from legacy_adapters.admin.control.wording import place_text
from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.migration.gates.gate import GatesShutError
from legacy_adapters.migration.stages.names import Endpoint
from legacy_adapters.models import Migration
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from legacy_adapters.admin.control.forms import MoveForm
    from legacy_adapters.migration.gates.gate import Gate
    from legacy_adapters.migration.steering.operating import EndpointStatus

VIEW: Final = "legacy_adapters.view_endpointstage"
MOVE: Final = "legacy_adapters.move_stages"
_ROOM: Final = "admin:legacy_adapters_migration"
_UNAVAILABLE: Final = "The database did not answer. Look at the stages before trying again."
_TEMPLATES: Final = "admin/legacy_adapters/control"


@admin.register(Migration)
class MigrationAdmin(LegacyAdmin[Migration]):
    """One page where others have a list."""

    def has_view_permission(self, request: HttpRequest, obj: Migration | None = None) -> bool:
        """Let those in who may see the endpoints' stages."""
        return request.user.has_perm(VIEW)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the app to them."""
        return self.has_view_permission(request) or super().has_module_permission(request)

    @property
    def media(self) -> Media:
        """What the lists have, and the charts."""
        return super().media + Media(
            css={"all": ["legacy_adapters/uplot/uPlot.min.css", "legacy_adapters/control.css"]}
        )

    def get_urls(self) -> list[URLPattern]:
        """Return the page's own addresses, and none of a list's and its rows' but the list's."""
        view = self.admin_site.admin_view
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("", view(self.room_view), name=name),
            path("", view(self.room_view), name=f"{name}_changelist"),
            path("data/", view(self.data_view), name=f"{name}_data"),
            path("<str:endpoint>/<slug:name>/", view(self.act_view), name=f"{name}_act"),
        ]

    # Looking

    def room_view(self, request: HttpRequest) -> HttpResponse:
        """Show the room. Looking writes nothing."""
        self._check(request)
        room = showing.room_of(request, may_move=request.user.has_perm(MOVE))
        context = {
            **self.admin_site.each_context(request),
            "title": "Control room",
            "opts": self.opts,
            "media": self.media,
            "room": room,
            "choices": showing.choices_of(room),
        }
        return TemplateResponse(request, f"{_TEMPLATES}/room.html", context)

    def data_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with what has moved since: the parts of the page, and the charts' points."""
        self._check(request)
        room = showing.room_of(request, may_move=request.user.has_perm(MOVE))
        parts = {
            name: render_to_string(f"{_TEMPLATES}/{name}.html", {"room": room}, request)
            for name in showing.PARTS
        }
        for chart in room["charts"]:
            found = {"chart": chart}
            parts[f"table-{chart['name']}"] = render_to_string(f"{_TEMPLATES}/table.html", found)
        return JsonResponse({"parts": parts, "series": room["series"]})

    @staticmethod
    def _check(request: HttpRequest) -> None:
        if not request.user.has_perm(VIEW):
            raise PermissionDenied

    # Moving

    def act_view(self, request: HttpRequest, endpoint: str, name: str) -> HttpResponse:
        """Ask for a reason, or do it.

        Raises:
            Http404: there is no such endpoint, or no such button.
            PermissionDenied: this user may not.

        """
        self._check(request)
        if endpoint not in Endpoint.values or name not in ACTS:
            raise Http404
        if not request.user.has_perm(MOVE):
            raise PermissionDenied
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        act = ACTS[name]
        status = showing.status_of(Endpoint(endpoint))
        if request.method != "POST":
            return self._ask(request, act, status, act.form(status), status.gates)
        return self._press(request, act, status)

    def _press(self, request: HttpRequest, act: Act, status: EndpointStatus) -> HttpResponse:
        form = act.form(status, request.POST)
        if not form.is_valid():
            return self._ask(request, act, status, form, status.gates)
        actor = request.user.get_username()
        try:
            done = act.press(get_tiers(), status, form.cleaned_data, actor)
        except GatesShutError as exc:
            messages.error(request, "Refused: a gate is shut. Nothing was moved.")
            return self._ask(request, act, status, form, exc.gates)
        except LegacyAdaptersError as exc:
            messages.error(request, str(exc))
        except (TierUnavailableError, OperationalError):
            messages.error(request, _UNAVAILABLE)
        else:
            messages.success(request, done)
        return redirect(reverse(_ROOM))

    def _ask(
        self,
        request: HttpRequest,
        act: Act,
        status: EndpointStatus,
        form: MoveForm,
        gates: Sequence[Gate],
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{act.label}: {status.endpoint.value}",
            "opts": self.opts,
            "media": self.media,
            "act": act,
            "form": form,
            "place": place_text(status.stage, status.percent),
            "next": place_text(*status.next) if status.next and act.name == "advance" else "",
            "gates": gates if act.asks_gates else (),
            "back": reverse(_ROOM),
        }
        return TemplateResponse(request, f"{_TEMPLATES}/move.html", context)
