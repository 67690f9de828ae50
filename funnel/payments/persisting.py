"""Writing down what a gateway answered: the receipt is in hand, so T2 is tried again, N never."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from django.db import IntegrityError, InterfaceError, OperationalError, close_old_connections

from funnel.exceptions import OutcomeUnsettledError
from sessions_unified.exceptions import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSES_SECONDS: Final = (0.1, 0.2, 0.4)
# Another T2 may have written the same transaction a moment before: the next try sees it.
_FAILURES: Final = (DatabaseUnavailableError, OperationalError, InterfaceError, IntegrityError)

T = TypeVar("T")


def persist(settle: Callable[[], T]) -> T:
    """Run a T2, again where the database fails it; return what it returns.

    Raises:
        OutcomeUnsettledError: it failed every time. What was sent stays open, and is asked for.

    """
    for pause in _PAUSES_SECONDS:
        try:
            return settle()
        except _FAILURES:
            time.sleep(pause)
            close_old_connections()  # the old one may be what is broken
    try:
        return settle()
    except _FAILURES as exc:
        raise OutcomeUnsettledError from exc
