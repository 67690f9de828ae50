"""If-Match and If-None-Match, as clients send them and as nobody should."""

from __future__ import annotations

from contextlib import suppress

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.request import Request

from sessions_unified.api.preconditions import etag, is_unchanged, wanted_version
from sessions_unified.exceptions import VersionConflictError
from tests.sessions import snapshot


def request(**headers: str) -> Request:
    return Request(RequestFactory().get("/", headers=headers))


def test_the_etag_is_the_version() -> None:
    assert etag(snapshot(version=7)) == '"7"'


@pytest.mark.parametrize(
    ("header", "version"), [('"7"', 7), (' "7" ', 7), ("*", None), (" * ", None), ('W/"1", "7"', 7)]
)
def test_if_match_names_a_version_or_any(header: str, version: int | None) -> None:
    assert wanted_version(request(If_Match=header)) == version


def test_no_if_match_is_no_wish() -> None:
    assert wanted_version(request()) is None


@pytest.mark.parametrize(
    "header", ["", "7", 'W/"7"', '"x"', '"-7"', '"7', f'"{"9" * 19}"', '"\uff17"']
)
def test_what_is_no_strong_version_of_ours_matches_nothing(header: str) -> None:
    with pytest.raises(VersionConflictError):
        wanted_version(request(If_Match=header))


@pytest.mark.parametrize(
    ("header", "unchanged"),
    [('"7"', True), ('W/"7"', True), ('"1", "7"', True), ("*", True), ('"8"', False), ("7", False)],
)
def test_if_none_match(header: str, unchanged: bool) -> None:
    assert is_unchanged(request(If_None_Match=header), snapshot(version=7)) is unchanged


@given(st.text(max_size=300))
def test_noise_never_fails(header: str) -> None:
    with suppress(VersionConflictError):
        wanted_version(request(If_Match=header))
    is_unchanged(request(If_None_Match=header), snapshot(version=7))
