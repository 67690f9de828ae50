"""Celery tasks: they carry no state, only wake what the database has."""

from __future__ import annotations

import logging
import os
import secrets
import time
from typing import TYPE_CHECKING, Final

from celery import shared_task
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError

from legacy_adapters.conf import get_adapter
from legacy_adapters.exceptions import LegacyAdaptersError
from legacy_adapters.local_storage import keeping
from legacy_adapters.migration import unseen
from legacy_adapters.migration.backfill import runs
from legacy_adapters.migration.backfill.pace import Throttle, backfill_pacer
from legacy_adapters.migration.backfill.working import Worker
from legacy_adapters.migration.catching_up import catching_up
from legacy_adapters.migration.parity import summing
from legacy_adapters.migration.repair.working import is_due, repair_due
from legacy_adapters.migration.steering import demotion
from legacy_adapters.migration.use import is_migrating
from legacy_adapters.models import BackfillRun
from legacy_adapters.tables import rows
from sessions_unified.exceptions import TierUnavailableError
from sessions_unified.tiers import get_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

# One wake-up stops here, so that a backfill cannot keep a worker from everything else.
_RUN_SECONDS: Final = 25
_EXPIRES_SECONDS: Final = 30
# Less than the pause between two wake-ups of beat.
_REPAIR_SECONDS: Final = 4
# Of a run's workers at a time: the others are left for the shoppers' work.
_MOST_WORKERS: Final = 2


@shared_task(name="legacy_adapters.run_backfills", ignore_result=True)
def run_backfills(seconds: float = _RUN_SECONDS) -> int:
    """Go on with the runs of the background for so long; return how many records were read.

    While work is left it wakes itself again. A wake-up that finds enough workers at a run leaves,
    so that those of beat and its own do not pile up.
    """
    ends_at = time.monotonic() + seconds
    done = 0
    for run in _waiting():
        done += _go_on(run, ends_at - time.monotonic())
    if done and any(_waiting()):
        run_backfills.apply_async(expires=_EXPIRES_SECONDS)
    return done


def _waiting() -> Iterator[BackfillRun]:
    states = (BackfillRun.State.QUEUED, BackfillRun.State.RUNNING)
    yield from rows(BackfillRun).filter(is_background=True, state__in=states).order_by("pk")


def _go_on(run: BackfillRun, seconds: float) -> int:
    """Work on one run; a store, or a database, that is down is for the next wake-up."""
    done = 0

    def advance(number: int) -> None:
        nonlocal done
        done += number

    try:
        runs.start(run)
        _worker(run, seconds, advance).work()
        runs.note_problem(run, "")
    except (LegacyAdaptersError, ImproperlyConfigured) as exc:
        runs.note_problem(run, str(exc))
        logger.warning("Left to the next wake-up, %s: %s", run, exc)
    except (TierUnavailableError, OperationalError, InterfaceError) as exc:
        logger.warning("Left to the next wake-up, %s: %s", run, exc)
    return done


def _worker(run: BackfillRun, seconds: float, advance: Callable[[int], object]) -> Worker:
    tiers = get_tiers()
    throttle = Throttle(run.rows_per_second)
    return Worker(
        run=run,
        adapter=get_adapter(run.source),
        tiers=tiers,
        name=f"celery-{os.getpid()}-{secrets.token_hex(4)}",
        pacer=backfill_pacer(tiers, throttle, largest=run.batch_size, limit_seconds=seconds),
        throttle=throttle,
        # A throttle holds for the run: one worker at a time keeps it.
        most=1 if run.rows_per_second else _MOST_WORKERS,
        advance=advance,
    )


@shared_task(name="legacy_adapters.repair_marked", ignore_result=True)
def repair_marked(seconds: float = _REPAIR_SECONDS, *, wakes: bool = True) -> int:
    """Repair what is marked for so long, and judge the endpoints; return how many were repaired.

    While work is left it wakes itself once, so that of beat's and its own two at most are at it.
    """
    tiers, done = get_tiers(), 0
    try:
        if is_migrating():
            demotion.check(tiers)
            catching_up(tiers)
        done = repair_due(tiers, seconds=seconds)
        is_left = wakes and done > 0 and is_due(tiers)
    except (TierUnavailableError, OperationalError, InterfaceError) as exc:
        logger.warning("Left to the next wake-up: %s", exc)
        return done
    if is_left:
        repair_marked.apply_async(kwargs={"wakes": False}, expires=_EXPIRES_SECONDS)
    return done


@shared_task(name="legacy_adapters.forget_kept_blobs", ignore_result=True)
def forget_kept_blobs() -> int:
    """Delete what browsers sent, and what was counted, too long ago to be looked at.

    Return how many rows.
    """
    tiers = get_tiers()
    now = tiers.clock.now()
    return keeping.forget_old(now) + unseen.forget_old(now) + summing.forget_old(tiers)
