"""The site's own processes, as command lines: web, worker, beat, relay and the NMI simulator."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from funnel.local.ports import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

    from funnel.local.payments import LocalNmi


def web(*, port: int, processes: int = 2, threads: int = 4) -> list[str]:
    """Serve the site with gunicorn on the loopback interface."""
    return [
        *(sys.executable, "-m", "gunicorn", "funnel.wsgi:application"),
        *("--bind", f"{LOOPBACK}:{port}", "--worker-class", "gthread"),
        *("--workers", str(processes), "--threads", str(threads)),
        *("--graceful-timeout", "5", "--no-control-socket"),
    ]


def worker() -> list[str]:
    """Run Celery's worker; alone on its queue, it needs no gossip."""
    return [
        # As root in a container that is thrown away, the advice is noise.
        *(sys.executable, "-W", "ignore:You're running the worker with superuser privileges"),
        *("-m", "celery", "--app", "funnel", "--quiet", "worker"),
        *("--concurrency", "2", "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]


def beat(*, directory: Path) -> list[str]:
    """Run Celery's beat, which remembers in ``directory`` what it sent last."""
    return [
        *(sys.executable, "-m", "celery", "--app", "funnel", "--quiet", "beat"),
        *("--loglevel", "INFO", "--pidfile", ""),
        *("--schedule", str(directory / "beat-schedule")),
    ]


def relay() -> list[str]:
    """Follow the event log."""
    return [sys.executable, "-m", "django", "run_relay"]


def nmi_simulator(nmi: LocalNmi) -> list[str]:
    """Take the shop's payments; the keys come by the environment, as the shop's do."""
    return [
        *(sys.executable, "-m", "django", "nmi_simulator", "--port", str(nmi.port)),
        *("--books", str(nmi.books), "--webhook-url", nmi.webhook_url),
        "--takes-any-vault",  # the old shop's shoppers come with theirs
    ]
