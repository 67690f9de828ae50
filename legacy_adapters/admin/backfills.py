"""Backfills: how far each one is, what it found, and a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Max, Sum
from django.http import Http404, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html

from legacy_adapters.admin.base import LegacyAdmin, SourceFilter, moment
from legacy_adapters.admin.run_page import (
    annotated_tally,
    counts_of,
    moments_of,
    progress_of,
    slices_of,
    state_badge,
)
from legacy_adapters.migration.backfill import runs
from legacy_adapters.migration.backfill.reporting import KINDS
from legacy_adapters.models import BackfillRun
from sessions_unified.admin import formatting

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

State = BackfillRun.State
PERMISSION: Final = "legacy_adapters.change_backfillrun"
_PAGE: Final = "admin:legacy_adapters_backfillrun_change"
_PAUSABLE: Final = {State.QUEUED, State.RUNNING}
FINDINGS_SHOWN: Final = 200


@admin.register(BackfillRun)
class BackfillRunAdmin(LegacyAdmin[BackfillRun]):
    """Look at a backfill; pause it, let it go on."""

    list_display = (
        *("created", "state_shown", "store", "progress", "read", "found"),
        *("rate", "left", "by"),
    )
    list_display_links = ("created",)
    list_filter = ("state", SourceFilter)
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[BackfillRun]:
        """Return the runs with their slices' counts added up."""
        sums = {f"sum_{name}": Sum(f"slices__{name}") for name in KINDS}
        rows = super().get_queryset(request)
        return rows.annotate(**sums, last_at=Max("slices__updated_at"))

    @admin.display(description="made")
    def created(self, run: BackfillRun) -> SafeString | str:
        """When it was made."""
        return moment(run.created_at)

    @admin.display(description="state")
    def state_shown(self, run: BackfillRun) -> SafeString:
        """The state as a badge, and whether it has a problem."""
        badge = state_badge(run)
        if not run.problem or run.state == State.FAILED:
            return badge
        mark = '{} <span class="su-mark su-held" title="{}">problem</span>'
        return format_html(mark, badge, run.problem)

    @admin.display(description="progress")
    def progress(self, run: BackfillRun) -> SafeString:
        """How much of the store has been read."""
        percent = progress_of(run).percent
        bar = '<progress class="la-bar" max="100" value="{0}" aria-label="read"></progress> {0} %'
        return format_html(bar, percent)

    @admin.display(description="records read")
    def read(self, run: BackfillRun) -> str:
        """How many, of about how many."""
        return f"{annotated_tally(run).read:,} of {run.total:,}"

    @admin.display(description="to look at")
    def found(self, run: BackfillRun) -> str:
        """What a person may want to know of."""
        tally = annotated_tally(run)
        parts = [
            f"{number:,} {name}"
            for name in ("conflicting", "unreadable", "masked")
            if (number := getattr(tally, name))
        ]
        return ", ".join(parts) or formatting.NOTHING

    @admin.display(description="rate")
    def rate(self, run: BackfillRun) -> str:
        """Records a second until now."""
        return progress_of(run).rate_text

    @admin.display(description="time left")
    def left(self, run: BackfillRun) -> str:
        """About how long it still takes."""
        return progress_of(run).left_text

    @admin.display(description="by")
    def by(self, run: BackfillRun) -> str:
        """Who began it."""
        return run.actor or formatting.NOTHING

    # One run's page

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the buttons, before Django's own."""
        act = path(
            "<int:pk>/act/<str:name>/",
            self.admin_site.admin_view(self.act_view),
            name="legacy_adapters_backfillrun_act",
        )
        return [act, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one run. Looking writes nothing."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        run = self._run(request, object_id)
        findings = list(run.findings.order_by("-pk")[: FINDINGS_SHOWN + 1])
        context = {
            **self.admin_site.each_context(request),
            "title": f"Backfill {run.pk} of {run.source}",
            "opts": self.opts,
            "media": self.media,
            "run": run,
            "badge": state_badge(run),
            "progress": progress_of(run),
            "counts": counts_of(run),
            "moments": moments_of(run),
            "slices": slices_of(run),
            "findings": findings[:FINDINGS_SHOWN],
            "has_more": len(findings) > FINDINGS_SHOWN,
            "button": self._button(request, run),
            "is_failed": run.state == State.FAILED,
        }
        return TemplateResponse(request, "admin/legacy_adapters/backfill.html", context)

    def act_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Pause a run, or let it go on.

        Raises:
            Http404: there is no such run, or no such button.
            PermissionDenied: this user may not.

        """
        run = self._run(request, str(pk))
        if name not in {"pause", "go-on"}:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        if name != self._button(request, run):
            messages.info(request, f"Nothing to do: the backfill is {run.get_state_display()}.")
        elif name == "pause":
            runs.pause(run)
            self.log_change(request, run, "Paused.")
            messages.success(request, "Paused: every worker stops after its batch.")
        else:
            runs.go_on(run, is_background=True)
            self.log_change(request, run, "Let go on.")
            messages.success(request, "The backfill goes on from where it stopped.")
        return redirect(reverse(_PAGE, args=[run.pk]))

    @staticmethod
    def _button(request: HttpRequest, run: BackfillRun) -> str:
        """Return what this user may do now; empty: nothing."""
        if not request.user.has_perm(PERMISSION):
            return ""
        if run.state in _PAUSABLE:
            return "pause"
        return "go-on" if run.state == State.PAUSED else ""

    def _run(self, request: HttpRequest, object_id: str) -> BackfillRun:
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, object_id)
        if run is None:
            raise Http404
        return run
