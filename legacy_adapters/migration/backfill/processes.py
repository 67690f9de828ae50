"""Workers as processes of their own: mapping records is Python's work, and keeps a core busy.

They are told nothing but the run's number; what they do stands in its slices. This module imports
no models at its top: a new process comes here before Django is set up.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import secrets
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.context import SpawnProcess

_POLL_SECONDS = 0.2
_STOP_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one worker process is told.

    Attributes:
        name: what its claims say.
        rows_per_second: its share of the throttle.
        rests: keep the pacer's rests.
        databases: alias → name, where this process has others than the settings say.

    """

    run_id: int
    name: str
    rows_per_second: float | None
    rests: bool
    databases: Mapping[str, str]


@contextmanager
def started(
    run_id: int, *, workers: int, rows_per_second: float | None, rests: bool
) -> Iterator[dict[str, SpawnProcess]]:
    """Yield name → process of this many workers; on the way out they are asked to stop."""
    from django.db import connections  # noqa: PLC0415  (see above)

    context = multiprocessing.get_context("spawn")
    key = secrets.token_hex(4)
    databases = {alias: str(connections[alias].settings_dict["NAME"]) for alias in connections}
    found: dict[str, SpawnProcess] = {}
    try:
        for number in range(1, workers + 1):
            name = f"{os.getpid()}-{key}-{number}"
            task = Task(
                run_id=run_id,
                name=name,
                rows_per_second=None if rows_per_second is None else rows_per_second / workers,
                rests=rests,
                databases=databases,
            )
            process = context.Process(target=_work, args=(task,), name=f"worker {number}")
            process.start()
            found[name] = process
        yield found
    finally:
        stop(found)


def stop(workers: Mapping[str, SpawnProcess]) -> None:
    """Let them finish their batch; who takes too long is killed, and loses that batch alone."""
    for process in workers.values():
        process.terminate()
    for process in workers.values():
        process.join(_STOP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def wait(workers: Mapping[str, SpawnProcess]) -> list[str]:
    """Wait a moment; return the names of those that have ended."""
    sentinels = [process.sentinel for process in workers.values()]
    multiprocessing.connection.wait(sentinels, timeout=_POLL_SECONDS)
    return [name for name, process in workers.items() if not process.is_alive()]


def _work(task: Task) -> None:
    """Be a worker, until nothing is free, a signal, or the death of who began it."""
    import django  # noqa: PLC0415

    django.setup()

    from django.db import InterfaceError, OperationalError, connections  # noqa: PLC0415

    from legacy_adapters.exceptions import LegacyAdaptersError  # noqa: PLC0415
    from sessions_unified.exceptions import DatabaseUnavailableError  # noqa: PLC0415

    for alias, name in task.databases.items():
        if alias in connections.databases:
            connections.databases[alias]["NAME"] = name
    try:
        _work_on(task)
    except (LegacyAdaptersError, DatabaseUnavailableError, OperationalError, InterfaceError) as exc:
        cause = str(exc.__cause__ or exc).strip().partition("\n")[0]
        sys.stderr.write(f"{multiprocessing.current_process().name} stopped: {cause}\n")
        sys.exit(1)
    finally:
        connections.close_all()


def _work_on(task: Task) -> None:
    from legacy_adapters.conf import get_adapter  # noqa: PLC0415
    from legacy_adapters.migration.backfill.pace import Throttle, backfill_pacer  # noqa: PLC0415
    from legacy_adapters.migration.backfill.working import Worker  # noqa: PLC0415
    from legacy_adapters.models import BackfillRun  # noqa: PLC0415
    from legacy_adapters.tables import rows  # noqa: PLC0415
    from sessions_unified.tiers import get_tiers  # noqa: PLC0415

    tiers = get_tiers()
    run = rows(BackfillRun).get(pk=task.run_id)
    is_stopped = _listen()
    throttle = Throttle(task.rows_per_second, is_stopped=is_stopped)
    pacer = backfill_pacer(
        tiers, throttle, largest=run.batch_size, is_stopped=is_stopped, rests=task.rests
    )
    worker = Worker(
        run=run,
        adapter=get_adapter(run.source),
        tiers=tiers,
        name=task.name,
        pacer=pacer,
        throttle=throttle,
    )
    worker.work()


def _listen() -> Callable[[], bool]:
    """Return whether to stop after this batch: by SIGTERM, or because nobody is left to report to.

    Ctrl-C reaches every process at the terminal; here it is the parent's to judge.
    """
    parent = multiprocessing.parent_process()
    wanted = False

    def want(*_: object) -> None:
        nonlocal wanted
        wanted = True

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, want)
    return lambda: wanted or parent is None or not parent.is_alive()
