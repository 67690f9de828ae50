"""Backfills: how far each one is, what it found, and a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html

from legacy_adapters.admin.base import SourceFilter, moment
from legacy_adapters.admin.detail import DetailAdmin
from legacy_adapters.admin.run_page import (
    annotated_tally,
    counts_of,
    moments_of,
    progress_of,
    slices_of,
    state_badge,
    with_counts,
)
from legacy_adapters.migration.backfill import runs
from legacy_adapters.models import BackfillRun
from sessions_unified.admin import formatting

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

State = BackfillRun.State
PERMISSION: Final = "legacy_adapters.change_backfillrun"
_PAGE: Final = "admin:legacy_adapters_backfillrun_change"
_PAUSABLE: Final = {State.QUEUED, State.RUNNING}
FINDINGS_SHOWN: Final = 200


@admin.register(BackfillRun)
class BackfillRunAdmin(DetailAdmin[BackfillRun]):
    """Look at a backfill; pause it, let it go on."""

    list_display = (
        *("created", "state_shown", "store", "progress", "read", "found"),
        *("rate", "left", "by"),
    )
    list_display_links = ("created",)
    list_filter = ("state", SourceFilter)
    ordering = ("-created_at",)
    page_template = "admin/legacy_adapters/backfill.html"
    acts = {"pause": PERMISSION, "go-on": PERMISSION}

    def get_queryset(self, request: HttpRequest) -> QuerySet[BackfillRun]:
        """Return the runs with their slices' counts added up."""
        return with_counts(super().get_queryset(request))

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

    def page(self, request: HttpRequest, row: BackfillRun) -> dict[str, Any]:
        """Return what is shown of a run."""
        findings = list(row.findings.order_by("-pk")[: FINDINGS_SHOWN + 1])
        return {
            "title": f"Backfill {row.pk} of {row.source}",
            "run": row,
            "badge": state_badge(row),
            "progress": progress_of(row),
            "counts": counts_of(row),
            "moments": moments_of(row),
            "slices": slices_of(row),
            "findings": findings[:FINDINGS_SHOWN],
            "has_more": len(findings) > FINDINGS_SHOWN,
            "button": self._button(request, row),
            "is_failed": row.state == State.FAILED,
        }

    def act(self, request: HttpRequest, row: BackfillRun, name: str) -> HttpResponse:
        """Pause a run, or let it go on."""
        if name != self._button(request, row):
            messages.info(request, f"Nothing to do: the backfill is {row.get_state_display()}.")
        elif name == "pause":
            runs.pause(row)
            self.log_change(request, row, "Paused.")
            messages.success(request, "Paused: every worker stops after its batch.")
        else:
            runs.go_on(row, is_background=True)
            self.log_change(request, row, "Let go on.")
            messages.success(request, "The backfill goes on from where it stopped.")
        return redirect(reverse(_PAGE, args=[row.pk]))

    @staticmethod
    def _button(request: HttpRequest, run: BackfillRun) -> str:
        """Return what this user may do now; empty: nothing."""
        if not request.user.has_perm(PERMISSION):
            return ""
        if run.state in _PAUSABLE:
            return "pause"
        return "go-on" if run.state == State.PAUSED else ""
