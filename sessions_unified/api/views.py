"""The session API: translate, one call of the manager, translate back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response

from sessions_unified.api import serializers
from sessions_unified.api.base import SessionAPIView
from sessions_unified.api.origin import refuse_cross_origin
from sessions_unified.api.preconditions import is_unchanged, wanted_version
from sessions_unified.api.principals import Service, Shopper, authorize
from sessions_unified.api.problems import Problem
from sessions_unified.conf import get_conf
from sessions_unified.cookies import clear_cookie, issue_cookie
from sessions_unified.exceptions import (
    InvalidChangeError,
    SessionNotFoundError,
    VersionConflictError,
)
from sessions_unified.flow import COMPLETED, PENDING, Position, get_flow
from sessions_unified.pricing import get_pricer

if TYPE_CHECKING:
    from rest_framework.request import Request

    from sessions_unified.snapshot import SessionSnapshot

_PROBLEM = serializers.ProblemSchema
_IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="The ETag that must still be current."
)


def priced(products: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the session's fields for these products, at the shop's prices."""
    pricer = get_pricer()
    if pricer is None:
        message = "This site has no catalogue: sessions cannot name products."
        raise InvalidChangeError(message, field="products")
    lines, amount, currency = pricer(products)
    return {"products": [dict(line) for line in lines], "amount": amount, "currency": currency}


class CreateView(SessionAPIView):
    """Start a session."""

    endpoint: ClassVar[str] = "session.create"

    @extend_schema(
        request=serializers.CreateSerializer,
        responses={201: serializers.SessionSchema, 400: _PROBLEM, 403: _PROBLEM, 413: _PROBLEM},
        summary="Create a session",
        description="Answers with the session and its cookie. Open to everyone; from a browser, "
        "to the shop's own pages only. Prices come from the shop's catalogue.",
    )
    def post(self, request: Request) -> Response:
        """Create the session and set its cookie."""
        if not isinstance(request.user, Service):
            refuse_cross_origin(request)  # the answer sets a cookie, whoever asks
        values = self.valid(serializers.CreateSerializer, request)
        products = values.pop("products", None)
        if products is not None:
            values |= priced(products)
        manager = self.manager()
        manager.actor = request.user.actor if isinstance(request.user, Service) else "shopper"
        session = manager.create_session(**values)
        response = self.answer(session, status=201)
        response["Location"] = f"{request.path.rsplit('/', 1)[0]}/{session.id}"
        issue_cookie(response, session)
        return response


class DetailView(SessionAPIView):
    """One session."""

    @extend_schema(
        responses={200: serializers.SessionSchema, 401: _PROBLEM, 404: _PROBLEM, 410: _PROBLEM},
        summary="Read a session",
    )
    def get(self, request: Request, session_id: str) -> Response:
        """Return the session."""
        principal = authorize(request.user, session_id, "read")
        manager = self.manager(principal)
        session = manager.get_session(session_id)
        if isinstance(principal, Shopper):
            manager.touch_session(session_id)
        if is_unchanged(request, session):
            return Response(status=304, headers={"ETag": f'"{session.version}"'})
        return self.answer(session, principal)

    @extend_schema(
        request=serializers.UpdateSerializer,
        parameters=[_IF_MATCH],
        responses={
            200: serializers.SessionSchema,
            **dict.fromkeys((400, 401, 404, 409, 410, 412), _PROBLEM),
        },
        summary="Change a session",
        description="Only the named fields change. Metadata is merged by its top-level keys; a "
        "null removes a key. Products can change before payment. currentStep can leave an upsell "
        "step; every other move follows from a charge.",
    )
    def patch(self, request: Request, session_id: str) -> Response:
        """Change the named fields."""
        principal = authorize(request.user, session_id, "write")
        values = self.valid(serializers.UpdateSerializer, request)
        manager = self.manager(principal)
        if_version = wanted_version(request)
        # What the change means depends on the state it meets, so it is bound to that state.
        for _ in range(3):
            before = manager.get_session(session_id, fresh=True)
            wanted = before.version if if_version is None else if_version
            changes = _changes(before, dict(values))
            try:
                session = manager.update_session(session_id, changes, if_version=wanted)
            except VersionConflictError:
                if if_version is not None:
                    raise
                continue
            return self.answer(session, principal)
        raise VersionConflictError

    @extend_schema(
        parameters=[_IF_MATCH],
        responses={204: None, **dict.fromkeys((401, 404, 409, 412), _PROBLEM)},
        summary="Delete a session",
        description="Everywhere and for good. Refused while a charge is open.",
    )
    def delete(self, request: Request, session_id: str) -> Response:
        """Delete the session."""
        principal = authorize(request.user, session_id, "delete")
        manager = self.manager(principal)
        manager.delete_session(session_id, if_version=wanted_version(request))
        response = Response(status=204)
        if isinstance(principal, Shopper):
            clear_cookie(response)
        return response


def _changes(before: SessionSnapshot, values: dict[str, Any]) -> dict[str, Any]:
    """Return the manager's changes for a PATCH of ``before``."""
    if before.status == COMPLETED and set(values) - {"metadata", "currentStep"}:
        code, detail = "session_completed", "The order is complete; its data can no longer change."
        raise Problem(409, code, detail)
    products = values.pop("products", None)
    if products is not None:
        if before.status != PENDING:
            detail = "Payment has begun: the products can no longer change."
            raise Problem(409, "payment_begun", detail)
        values |= priced(products)
    step = values.pop("currentStep", None)
    if step is not None:
        values |= _move(before, step)
    if "metadata" in values:
        values["metadata"] = _merged(before, values["metadata"])
    return values


def _move(before: SessionSnapshot, step: str) -> dict[str, Any]:
    if step == before.current_step:
        return {}
    flow = get_flow()
    after = flow.position_at(step)
    flow.check(Position(before.status, before.current_step), after, by_client=True)
    return {"status": after.status, "current_step": after.step}


def _merged(before: SessionSnapshot, metadata: dict[str, Any]) -> dict[str, Any]:
    merged = {**before.metadata, **metadata}
    kept = {name: value for name, value in merged.items() if value is not None}
    limit = get_conf().METADATA_MAX_BYTES
    if len(msgspec.json.encode(kept)) > limit:
        message = f"metadata: with what is there already it is larger than {limit} bytes."
        raise InvalidChangeError(message, field="metadata")
    return kept


class ValidateView(SessionAPIView):
    """The health of one session."""

    @extend_schema(
        responses={200: serializers.HealthSchema, 401: _PROBLEM, 404: _PROBLEM},
        summary="Validate a session",
        description="Whether it is alive and well-formed, and whether the tiers agree.",
    )
    def get(self, request: Request, session_id: str) -> Response:
        """Return the findings."""
        principal = authorize(request.user, session_id, "read")
        health = self.manager(principal).validate_session(session_id)
        if not health.exists:
            raise SessionNotFoundError
        return Response(health)  # the renderer writes it in the wire format


class ExtendView(SessionAPIView):
    """More time."""

    @extend_schema(
        request=serializers.ExtendSerializer,
        responses={
            200: serializers.SessionSchema,
            **dict.fromkeys((400, 401, 404, 410), _PROBLEM),
        },
        summary="Extend a session",
        description="Moves expiresAt to durationSeconds from now, or to what the step's limit "
        "gives. Never earlier, never past the absolute limit.",
    )
    def post(self, request: Request, session_id: str) -> Response:
        """Move the session's end."""
        principal = authorize(request.user, session_id, "write")
        seconds = self.valid(serializers.ExtendSerializer, request).get("durationSeconds")
        duration = None if seconds is None else timedelta(seconds=seconds)
        session = self.manager(principal).extend_session(session_id, duration)
        return self.answer(session, principal)
