"""R39: every error is a problem with a stable code and without internals."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.exceptions import BadRequest, DisallowedHost, PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf

from funnel import exceptions as funnel_errors
from funnel.api import views
from sessions_unified import exceptions as errors
from sessions_unified.api import problems


def handled(exc: Exception) -> tuple[int, dict[str, Any]]:
    response = views.handle(exc, {})
    assert response is not None
    assert response.content_type == problems.MEDIA_TYPE
    assert response.data["status"] == response.status_code
    return response.status_code, response.data


def subclasses(root: type[Any]) -> set[type[Any]]:
    return {root}.union(*(subclasses(each) for each in root.__subclasses__()))


EXPECTED = {
    errors.SessionNotFoundError: 404,
    errors.SessionExpiredError: 410,
    errors.VersionConflictError: 412,
    errors.InvalidTransitionError: 409,
    errors.SessionHeldError: 409,
    errors.InvalidChangeError: 400,
    errors.PricingError: 400,
    errors.InvalidTokenError: 401,
    errors.TierUnavailableError: 503,
    errors.DatabaseUnavailableError: 503,
    funnel_errors.IdempotencyKeyError: 400,
    funnel_errors.IdempotencyKeyReusedError: 422,
    funnel_errors.ChargeInFlightError: 409,
    funnel_errors.OutcomeUnsettledError: 503,
    funnel_errors.NothingToChargeError: 409,
    funnel_errors.NoStoredCardError: 409,
    funnel_errors.OfferClosedError: 409,
    funnel_errors.UnknownOfferError: 400,
}


@pytest.mark.parametrize("error", EXPECTED, ids=lambda each: each.__name__)
def test_each_error_has_its_status_and_its_own_code(error: type[Any]) -> None:
    status, data = handled(error())

    assert status == EXPECTED[error]
    assert data["code"] == error.code
    assert data["detail"]


def test_no_two_errors_share_a_code() -> None:
    codes = [each.code for each in subclasses(errors.SessionsUnifiedError) if "code" in vars(each)]

    assert len(codes) == len(set(codes))


def test_a_site_error_without_a_status_would_be_noticed() -> None:
    leaves = subclasses(funnel_errors.FunnelError) - {funnel_errors.FunnelError}

    assert leaves == set(views._STATUSES)


@pytest.mark.parametrize(
    "error",
    [
        errors.DatabaseUnavailableError(),
        OperationalError("could not connect to secret-host"),
        InterfaceError("connection already closed"),
        funnel_errors.OutcomeUnsettledError(),
        funnel_errors.ChargeInFlightError(),
    ],
)
def test_what_may_be_asked_again_says_when(error: Exception) -> None:
    response = views.handle(error, {})

    assert response is not None
    assert int(response["Retry-After"]) >= 1
    assert "secret-host" not in str(response.data)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "permission_denied"),
        (BadRequest("internals"), 400, "bad_request"),
        (DisallowedHost("internals"), 400, "bad_request"),
        (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (drf.UnsupportedMediaType("x/y"), 415, "unsupported_media_type"),
        (drf.NotAuthenticated(), 401, "not_authenticated"),
        (drf.Throttled(wait=3), 429, "throttled"),
    ],
)
def test_djangos_and_drfs_errors_are_problems_too(error: Exception, status: int, code: str) -> None:
    found, data = handled(error)

    assert (found, data["code"]) == (status, code)
    assert "internals" not in str(data)


def test_an_error_that_nobody_foresaw_is_logged_and_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        status, data = handled(RuntimeError("password=hunter2"))

    assert (status, data["code"]) == (500, "internal_error")
    assert "hunter2" not in str(data)
    assert caplog.records[-1].exc_info


def test_nested_errors_are_flattened_to_paths() -> None:
    detail = {
        "products": [{}, {"id": ["bad"], "quantity": ["low", "odd"]}],
        "customer": {"address": {"zip": ["missing"]}, "non_field_errors": ["whole"]},
    }

    assert [(each["field"], each["message"]) for each in problems.flatten(detail)] == [
        ("products[1].id", "bad"),
        ("products[1].quantity", "low"),
        ("products[1].quantity", "odd"),
        ("customer.address.zip", "missing"),
        ("customer", "whole"),
    ]
