"""Sessions: the list, one session's page, and what staff may do. Nothing here edits a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower
from django.http import Http404, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html_join

from sessions_unified import get_manager
from sessions_unified.admin import acts, formatting
from sessions_unified.admin.acting import ActingAdmin
from sessions_unified.admin.base import sees_pii
from sessions_unified.admin.filters import ExpiryFilter, StepFilter
from sessions_unified.admin.page import Panel, SessionPage, build_page
from sessions_unified.clock import get_clock
from sessions_unified.masking import mask_email
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

_HEAVY: Final = ("customer", "products", "upsells", "metadata", "vault_id", "payment_token")


@admin.register(UnifiedSession)
class UnifiedSessionAdmin(ActingAdmin):
    """Find a session, look into it, act on it.

    A site subclasses it to add `panels` to the page and to ``acts``.
    """

    list_display = ("session", "state", "step", "total", "masked", "created", "expires")
    list_display_links = ("session",)
    list_filter = ("status", StepFilter, ExpiryFilter)
    ordering = ("-created_at",)
    sortable_by = ("created",)
    search_fields = ("id",)
    search_help_text = (
        "An id or its beginning (ws_…), a whole transaction id, or a whole email address "
        "(with the permission to see personal data)."
    )
    acts: ClassVar[tuple[acts.Act, ...]] = (acts.EXPIRE, acts.EXTEND, acts.DROP, acts.DELETE)

    # The list

    def get_queryset(self, request: HttpRequest) -> QuerySet[UnifiedSession]:
        """Return the rows without their large columns: the page reads them through the tiers."""
        return super().get_queryset(request).defer(*_HEAVY)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Show emails to those who may see them."""
        shown = "unmasked" if sees_pii(request.user) else "masked"
        return [shown if name == "masked" else name for name in self.list_display]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UnifiedSession], search_term: str
    ) -> tuple[QuerySet[UnifiedSession], bool]:
        """Find by an index: an id's beginning, a whole email, or a whole transaction id.

        Without the permission for personal data an email finds nothing: a hit would confirm a
        guess at what the mask hides.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            if not sees_pii(request.user):
                text = "Searching by email needs the permission to see personal data."
                messages.warning(request, text)
                return queryset.none(), False
            found = queryset.alias(mail=Lower("email")).filter(mail=Lower(Value(term)))
            return found, False
        return queryset.filter(Q(pk__startswith=term) | Q(transaction_id=term)), False

    @admin.display(description="session")
    def session(self, row: UnifiedSession) -> SafeString:
        """The id."""
        return formatting.identifier(row.pk)

    @admin.display(description="status")
    def state(self, row: UnifiedSession) -> SafeString:
        """The status as a badge, and what is unusual: held, deleted."""
        badges = [formatting.badge(row.status), *formatting.marks(row)]
        return format_html_join(" ", "{}", ((each,) for each in badges))

    @admin.display(description="step")
    def step(self, row: UnifiedSession) -> str:
        """The step."""
        return row.current_step

    @admin.display(description="amount")
    def total(self, row: UnifiedSession) -> str:
        """The amount with its currency."""
        return formatting.money(row.amount, row.currency)

    @admin.display(description="email")
    def masked(self, row: UnifiedSession) -> str:
        """The email, masked."""
        return mask_email(row.email) or formatting.NOTHING

    @admin.display(description="email")
    def unmasked(self, row: UnifiedSession) -> str:
        """The email."""
        return row.email or formatting.NOTHING

    @admin.display(description="created", ordering="created_at")
    def created(self, row: UnifiedSession) -> SafeString | str:
        """When it was created."""
        return formatting.when(row.created_at, get_clock().now())

    @admin.display(description="expires")
    def expires(self, row: UnifiedSession) -> SafeString | str:
        """When it ends; of a tombstone nothing is left to end."""
        if row.deleted_at is not None:
            return formatting.NOTHING
        return formatting.when(formatting.ends_at(row), get_clock().now())

    # One session's page

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of the acts, before Django's own."""
        act = path(
            "<path:object_id>/act/<slug:name>/",
            self.admin_site.admin_view(self.act_view),
            name="sessions_unified_unifiedsession_act",
        )
        return [act, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one session. There is no form, so nothing can be edited."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.row(request, object_id)
        manager = get_manager("admin", request)
        page = build_page(
            get_tiers(),
            row,
            manager.validate_session(row.pk),
            shows_pii=sees_pii(request.user),
        )
        context = {
            **self.admin_site.each_context(request),
            "title": f"Session {row.pk}",
            "opts": self.opts,
            "media": self.media,
            "page": page,
            "buttons": self.allowed_acts(request) if row.deleted_at is None else (),
            "panels": self.panels(request, page),
            "quoted_id": quote(row.pk),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/sessions_unified/session.html", context)

    def panels(self, request: HttpRequest, page: SessionPage) -> list[Panel]:
        """Return more boxes for the page; a site's subclass has some."""
        return []

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Do one thing to one session, after asking where it must be asked."""
        row = self.row(request, object_id)
        act = next((each for each in self.acts if each.name == name), None)
        if act is None:
            raise Http404
        if not self.may(request, act):
            raise PermissionDenied
        answer = self.act_on(request, act, [row])
        if answer is not None:
            return answer
        if act.is_dangerous:
            return redirect(reverse("admin:sessions_unified_unifiedsession_changelist"))
        return redirect(formatting.session_url(row.pk))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete through the manager: Django's own way would leave no tombstone."""
        return self.act_view(request, object_id, acts.DELETE.name)

    def row(self, request: HttpRequest, object_id: str) -> UnifiedSession:
        """Return the row, tombstones included.

        Raises:
            PermissionDenied: this user may not look at sessions.
            Http404: there is no such row.

        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = super().get_queryset(request)
        # None has a NUL in its id, and PostgreSQL would not take it.
        row = None if "\0" in object_id else rows.filter(pk=unquote(object_id)).first()
        if row is None:
            raise Http404
        return row
