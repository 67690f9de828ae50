"""A target in the site's own code: a function, called in the worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.utils.module_loading import import_string

from funnel.hooks.base import Result, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from funnel.hooks.event import HookEvent

# A worker is ended at its time limit, and what it was at with it.
_LEASE_MARGIN_SECONDS: Final = 30


@dataclass(frozen=True, kw_only=True)
class CallableTarget(Target):
    """Calls a function of the site's, in the worker."""

    path: str

    @property
    def lease_seconds(self) -> float:
        """As long as a worker may live for one task."""
        return float(settings.CELERY_TASK_TIME_LIMIT) + _LEASE_MARGIN_SECONDS

    def deliver(self, event: HookEvent) -> Result:
        """Call it; to return is success, to raise is not."""
        try:
            tell: Callable[[HookEvent], object] = import_string(self.path)
            tell(event)
        except (Exception, SystemExit) as exc:  # noqa: BLE001  (whatever it raises is a failed try)
            return Result(error=_place_of(exc))
        return Result()


def _place_of(exc: BaseException) -> str:
    """Return what was raised and where; not its message, which may quote the order."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return f"raised {type(exc).__name__}"
    file = PurePath(trace.tb_frame.f_code.co_filename).name
    return f"raised {type(exc).__name__} in {file}:{trace.tb_lineno}"
