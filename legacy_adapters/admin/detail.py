"""Rows that have a page of their own, which shows and never edits, and buttons beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import path

from legacy_adapters.admin.base import LegacyAdmin
from sessions_unified.admin.base import AnyModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


class DetailAdmin(LegacyAdmin[AnyModel]):
    """A list, and a page for each row. Looking writes nothing.

    ``acts``: what a button of the page is called in its address → the permission that it needs;
    `act` carries it out.
    """

    page_template: ClassVar[str]
    acts: ClassVar[Mapping[str, str]] = {}

    def page(self, request: HttpRequest, row: AnyModel) -> dict[str, Any]:
        """Return what the page's template shows beside what every page has."""
        raise NotImplementedError

    def act(self, request: HttpRequest, row: AnyModel, name: str) -> HttpResponse:
        """Do what one of ``acts`` is for, and answer."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the buttons, before Django's own."""
        act = path(
            "<path:object_id>/act/<slug:name>/",
            self.admin_site.admin_view(self.act_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_act",
        )
        return [*([act] if self.acts else []), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one row."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return self.show(request, self.row_of(request, object_id))

    def show(self, request: HttpRequest, row: AnyModel, **more: Any) -> HttpResponse:
        """Answer with a row's page."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            **self.page(request, row),
            **more,
        }
        return TemplateResponse(request, self.page_template, context)

    def act_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Press a button.

        Raises:
            Http404: there is no such row, or no such button.
            PermissionDenied: this user may not.

        """
        row = self.row_of(request, object_id)
        if name not in self.acts:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm(self.acts[name]):
            raise PermissionDenied
        return self.act(request, row, name)

    def row_of(self, request: HttpRequest, object_id: str) -> AnyModel:
        """Return the row of an address.

        Raises:
            Http404: there is none.
            PermissionDenied: this user may not see it.

        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        return row
