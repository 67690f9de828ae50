"""The lists' filters; none asks the database which values there are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Q

from sessions_unified.clock import get_clock
from sessions_unified.conf import get_conf
from sessions_unified.flow import COMPLETED, EXPIRED, get_flow
from sessions_unified.ids import is_session_id

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

_SOON = timedelta(hours=1)


class ValueFilter(SimpleListFilter):
    """By one value of a field: the one that is called like the parameter."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with the chosen value."""
        chosen = {str(self.parameter_name): self.value()}
        return queryset.filter(**chosen) if self.value() else queryset


class StepFilter(SimpleListFilter):
    """By the flow's steps."""

    title = "step"
    parameter_name = "step"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the steps."""
        return [(step, step) for step in get_flow().steps]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the sessions at the chosen step."""
        return queryset.filter(current_step=self.value()) if self.value() else queryset


class ExpiryFilter(SimpleListFilter):
    """By the end of a session's life. Tombstones are shown only when asked for."""

    title = "expiry"
    parameter_name = "expiry"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the choices."""
        return [
            ("alive", "alive"),
            ("soon", "ends within 1 hour"),
            ("past", "past its end"),
            ("held", "held by an open charge"),
            ("deleted", "deleted"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the chosen sessions; a tombstone also for its own whole id."""
        choice, now = self.value(), get_clock().now()
        if choice is None and is_session_id(request.GET.get("q", "").strip()):
            return queryset
        if choice == "deleted":
            return queryset.filter(deleted_at__isnull=False)
        queryset = queryset.filter(deleted_at=None)
        if choice == "alive":
            return queryset.filter(alive_at(now))
        if choice == "soon":
            return queryset.filter(alive_at(now)).exclude(alive_at(now + _SOON))
        if choice == "past":
            return queryset.exclude(alive_at(now))
        return queryset.filter(holds__gt=0) if choice == "held" else queryset


def alive_at(now: datetime) -> Q:
    """Return the condition of sessions that have not ended, as `expiry.effective_deadline` says.

    A completed one lives until its receipt limit; a held one lives until it is let go; a touch
    slides the idle limit of some steps, never past the absolute one.
    """
    conf = get_conf()
    touched = Q()
    for step, seconds in conf.IDLE_LIMIT_SECONDS.items():
        touched |= Q(current_step=step, last_seen_at__gt=now - timedelta(seconds=seconds))
    touched &= Q(created_at__gt=now - timedelta(seconds=conf.ABSOLUTE_LIMIT_SECONDS))
    stays = Q(holds__gt=0) | touched if conf.IDLE_LIMIT_SECONDS else Q(holds__gt=0)
    return ~Q(status=EXPIRED) & (Q(expires_at__gt=now) | (~Q(status=COMPLETED) & stays))


class KindFilter(ValueFilter):
    """By what happened; the admin's ``kinds`` names what can."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the kinds of events."""
        kinds: tuple[str, ...] = getattr(model_admin, "kinds", ())
        return [(kind, kind.replace("_", " ")) for kind in kinds]
