"""What every admin here shares: read-only rows, no probing of hidden fields, bounded counts."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.paginator import Paginator
from django.db import models
from django.forms import Media
from django.http import HttpResponseRedirect
from django.utils.text import capfirst

from sessions_unified import get_manager
from sessions_unified.conf import get_conf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.contrib.auth.models import AnonymousUser
    from django.contrib.auth.models import User as DjangoUser
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from sessions_unified.manager import UnifiedSessionManager

AnyModel = TypeVar("AnyModel", bound=models.Model)

STAFF: Final = "staff:"
"""What the actors of staff begin with; their user's key follows."""
_NUL: Final = "%00"

if TYPE_CHECKING:

    class GenericModelAdmin(admin.ModelAdmin[AnyModel]):
        """`ModelAdmin`, which is generic for type checkers alone."""

else:

    class GenericModelAdmin(admin.ModelAdmin):
        """`ModelAdmin`, which is generic for type checkers alone."""

        def __class_getitem__(cls, _: object) -> type:
            """Accept the model as a parameter."""
            return cls


def sees_pii(user: DjangoUser | AnonymousUser) -> bool:
    """Tell whether customers' personal data is shown unmasked."""
    return user.has_perm("sessions_unified.view_pii")


def staff_manager(request: HttpRequest) -> UnifiedSessionManager:
    """Return a manager whose events name this user."""
    manager = get_manager("admin", request)
    manager.actor = f"{STAFF}{request.user.pk}"
    return manager


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # only the stubs are generic
    """Counts no further than ``CAP``: counting a whole large table takes longer than a page may."""

    CAP: ClassVar = 10_000

    @cached_property
    def count(self) -> int:
        """The number of rows, ``CAP`` at most."""
        rows: Any = self.object_list
        return int(rows.order_by()[: self.CAP].count())


class GuardedAdmin(GenericModelAdmin[AnyModel]):
    """Reads from the core's database; filters by the query string only as ``list_filter`` says.

    Django lets staff filter by any field of the model (``?email__startswith=a``), which would tell
    what a mask hides.
    """

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    list_per_page = 50

    @property
    def media(self) -> Media:
        """The admin's media and our one stylesheet."""
        return super().media + Media(css={"all": ["sessions_unified/admin.css"]})

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Call the list what it is: there is nothing to “select to change”.

        Filters by a NUL, which PostgreSQL cannot take, are dropped as Django drops broken ones.
        """
        if _NUL in request.META["QUERY_STRING"]:
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
        title = capfirst(str(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def get_queryset(self, request: HttpRequest) -> QuerySet[AnyModel]:
        """Return the rows of the durable tier's database."""
        return super().get_queryset(request).using(get_conf().DATABASE_ALIAS)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AnyModel | None:
        """Return the row of an address; none has a NUL in its id."""
        return None if "\0" in object_id else super().get_object(request, object_id, from_field)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow the parameters of this list's own filters."""
        names = {getattr(each, "parameter_name", each) for each in self.list_filter}
        return lookup.removesuffix("__exact") in names


class ReadOnlyAdmin(GuardedAdmin[AnyModel]):
    """Rows that code alone writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds one here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """Nobody edits one."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """Nobody deletes one."""
        return False


class ExactSearchAdmin(ReadOnlyAdmin[AnyModel]):
    """Finds rows by whole values of indexed fields, never by ``LIKE '%…%'``."""

    exact_search: ClassVar[tuple[str, ...]] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AnyModel], search_term: str
    ) -> tuple[QuerySet[AnyModel], bool]:
        """Return the rows in which one of the fields is the term."""
        term = search_term.strip()
        if not term:
            return queryset, False
        lookups: Mapping[str, str] = dict.fromkeys(self.exact_search, term)
        condition = models.Q(**lookups, _connector=models.Q.OR)
        return queryset.filter(condition), False
