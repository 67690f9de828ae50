"""What a value that no column holds raises, and what another's commit alone makes a duplicate."""

from __future__ import annotations

from typing import Final

from django.db import DataError, IntegrityError

from sessions_unified.exceptions import InvalidChangeError

REFUSALS: Final = (DataError, IntegrityError, InvalidChangeError, ValueError)
"""What is raised on a value's way into the database, which cannot hold it."""

_UNIQUE_VIOLATION: Final = "23505"


def is_duplicate(exc: BaseException) -> bool:
    """Tell whether the database refused what another has committed first."""
    return getattr(exc.__cause__, "sqlstate", None) == _UNIQUE_VIOLATION
