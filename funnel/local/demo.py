"""``make demo``: the whole shop on one machine, started, watched and stopped as one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from funnel.local.banner import Prepared, banner
from funnel.local.child import Child
from funnel.local.env_file import published
from funnel.local.exceptions import (
    AlreadyRunningError,
    LocalError,
    PortBusyError,
    StopRequestedError,
)
from funnel.local.lock import locked
from funnel.local.old_shop import old_shop_variables
from funnel.local.paths import demo_dir
from funnel.local.payments import NMI, LocalNmi, payments_from
from funnel.local.ports import LOOPBACK, is_free
from funnel.local.private_files import write_private
from funnel.local.services import Services, running_services
from funnel.local.site import Site
from funnel.local.site_keys import new_site_keys
from funnel.local.steps import aloud, step
from funnel.local.stop_signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_PORT = 8000
OTHER_PORT = 8123
MAX_PORT = 65_535
POLL_SECONDS = 0.1


def main() -> int:
    """Run the demo until it is asked to stop; return the exit code."""
    directory = demo_dir()
    try:
        port, payments = port_from(os.environ), payments_from(os.environ)
        with locked(directory), StopSignals(directory) as signals:
            run(directory, port, signals, payments=payments)
    except StopRequestedError:
        aloud("Stopped. The data stays: `make demo` goes on with it.\n")
        return 0
    except AlreadyRunningError as exc:
        print(f"The demo is already running (process {exc.pid}).", file=sys.stderr)
    except LocalError as exc:
        print(exc, file=sys.stderr)
    return 1


def port_from(environ: Mapping[str, str]) -> int:
    """Return the port that ``PORT`` names.

    Raises:
        LocalError: it isn't a port's number.

    """
    text = environ.get("PORT") or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MAX_PORT:
        raise LocalError(f"PORT={text} is not a port's number (1 to {MAX_PORT}).")
    return int(text)


def run(directory: Path, port: int, signals: StopSignals, *, payments: str) -> None:
    """Start everything, say where it is, and watch it; whatever happens, stop it all.

    Raises:
        StopRequestedError: the usual end.
        LocalError: something could not be started, or has ended by itself.

    """
    nmi = LocalNmi.beside(f"http://{LOOPBACK}:{port}", directory) if payments == NMI else None
    site = Site(directory, port, nmi=nmi)
    site.stop_leftovers()
    if not is_free(port):
        other = OTHER_PORT if port == DEFAULT_PORT else port + 1
        raise PortBusyError(f"Port {port} is busy. Choose another: PORT={other} make demo")
    with ExitStack() as stack:
        services = stack.enter_context(running_services(directory, durable=True, say=aloud))
        variables = site_variables(directory, services, site.base_url)
        variables |= old_shop_variables(directory, services)
        variables |= nmi.variables() if nmi else {}
        # What processes of an earlier run counted is none of this one's.
        shutil.rmtree(variables["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
        prepared = prepare(directory, variables, signals)
        started = "NMI simulator, web, worker" if nmi else "web, worker"
        with step(aloud, f"Starting {started}, beat and relay"):
            stack.enter_context(site.running(variables))
            site.wait_until_ready(signals)
        aloud(f"\n{banner(site.base_url, prepared, simulator_url=nmi.url if nmi else '')}\n\n")
        stack.enter_context(published(directory, variables))
        try:
            site.watch(services.processes, signals)
        finally:
            aloud("\n")


def site_variables(directory: Path, services: Services, base_url: str) -> dict[str, str]:
    """Return the settings' environment variables; the keys are made once and kept."""
    keys = directory / "secrets.json"
    if not keys.exists():
        write_private(keys, json.dumps(new_site_keys(kid="demo")))
    kept: dict[str, str] = json.loads(keys.read_text())
    return kept | {
        "DATABASE_URL": services.database_url,
        "REDIS_URL": services.redis_url,
        "SITE_URL": base_url,
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "DEBUG": "0",
        "INSECURE_HTTP": "1",
        "LOG_FORMAT": "lines",
        "STATIC_ROOT": str(directory / "static"),
        "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"),
        "DJANGO_SETTINGS_MODULE": "funnel.settings",
        "PYTHONUNBUFFERED": "1",
    }


def prepare(directory: Path, variables: Mapping[str, str], signals: StopSignals) -> Prepared:
    """Run ``manage.py prepare_demo``, which says what it does, and return its report.

    Raises:
        StopRequestedError: a signal has come.
        LocalError: it fails.

    """
    report = directory / "prepared.json"
    command = Child(
        name="prepare",
        argv=[sys.executable, "-m", "django", "prepare_demo", "--report", str(report)],
        records=directory,
        env=os.environ | variables,
    )
    command.stop_leftover()
    signals.raise_if_requested()
    command.start(output=sys.stdout.fileno())
    try:
        while command.is_running:
            signals.raise_if_requested()
            time.sleep(POLL_SECONDS)
    finally:
        command.stop()
    if command.exit_code:
        raise LocalError("The demo's data could not be prepared; the reason is above.")
    return Prepared.take(report)


if __name__ == "__main__":
    sys.exit(main())
