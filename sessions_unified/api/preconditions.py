"""ETags: a session's version, strong. ``If-Match`` and ``If-None-Match`` (RFC 9110, 13.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sessions_unified.exceptions import VersionConflictError

if TYPE_CHECKING:
    from rest_framework.request import Request

    from sessions_unified.snapshot import SessionSnapshot

_MAX_DIGITS: Final = 18  # fits a bigint
_TAG: Final = re.compile(r'(W/)?"([^"]*)"')


def etag(session: SessionSnapshot) -> str:
    """Return the entity tag."""
    return f'"{session.version}"'


def wanted_version(request: Request) -> int | None:
    """Return the version that If-Match asks for; None where any will do.

    Raises:
        VersionConflictError: no tag of it is a version of ours, so none can match (412).

    """
    header = request.META.get("HTTP_IF_MATCH")
    if header is None or header.strip() == "*":
        return None
    versions = [tag for weak, tag in _TAG.findall(header) if not weak and tag.isascii()]
    numbers = [int(tag) for tag in versions if tag.isdigit() and len(tag) <= _MAX_DIGITS]
    if len(numbers) != 1:
        raise VersionConflictError
    return numbers[0]


def is_unchanged(request: Request, session: SessionSnapshot) -> bool:
    """Tell whether the client has this version already."""
    header = request.META.get("HTTP_IF_NONE_MATCH", "")
    return header.strip() == "*" or str(session.version) in {t for _, t in _TAG.findall(header)}
