"""The simulator as a program: its options, what it prints, and how it ends."""

from __future__ import annotations

import errno
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from funnel.payments.nmi.simulator.cards import CARDS
from funnel.payments.nmi.simulator.journal import JournalError
from funnel.payments.nmi.simulator.modes import MODES, UnknownModeError, find_mode
from funnel.payments.nmi.simulator.simulator import SECURITY_KEY, WEBHOOK_KEY, Simulator

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterator

HELP: Final = (
    "Run a local NMI: the real wire format, test cards only, with books of its own. "
    "Needs no database."
)
PORT: Final = 8900
_MAX_PORT: Final = 65_535
_STEP_SECONDS: Final = 0.2


class SimulatorRefusedError(Exception):
    """The simulator was not started; the message says why."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Options:
    """What a person may choose; `add_arguments` describes each."""

    host: str = "127.0.0.1"
    port: int = PORT
    mode: str = "approve"
    books: Path | None = None
    webhook_url: str = ""
    webhook_key: str = WEBHOOK_KEY
    security_key: str = SECURITY_KEY
    dup_seconds: int = 0
    takes_any_vault: bool = False
    i_know_it_has_no_password: bool = False


def add_arguments(parser: ArgumentParser, *, defaults: Options) -> None:
    """Take the options."""
    parser.add_argument("--host", default=defaults.host, help="Where to listen (127.0.0.1).")
    parser.add_argument("--port", type=int, default=defaults.port, help=f"Its port ({PORT}).")
    parser.add_argument("--mode", default=defaults.mode, help="What becomes of sales (approve).")
    parser.add_argument("--books", type=Path, metavar="FILE", help="Keep the books in a file.")
    parser.add_argument("--webhook-url", default=defaults.webhook_url, help="Where events go.")
    parser.add_argument(
        "--webhook-key", default=defaults.webhook_key, help="What events are signed with."
    )
    parser.add_argument(
        "--security-key", default=defaults.security_key, help="What requests must name."
    )
    parser.add_argument(
        "--dup-seconds",
        type=int,
        default=defaults.dup_seconds,
        help="Refuse the same card and amount again within so many seconds (0: never).",
    )
    parser.add_argument(
        "--takes-any-vault",
        action="store_true",
        help="Approve vault ids that were never stored here: of shoppers who came from elsewhere.",
    )
    parser.add_argument(
        "--i-know-it-has-no-password",
        action="store_true",
        help="Listen on a host that others can reach; anybody there can read and change the books.",
    )


def run(options: Options, *, say: Callable[[str], object]) -> None:
    """Run until Ctrl-C or SIGTERM.

    Raises:
        SimulatorRefusedError: an option is wrong, the port is busy, or the books are damaged.

    """
    simulator = _made(options, say)
    with stop_signals() as stopping:
        simulator.start()
        try:
            say(introduction(simulator, options))
            # A wait without end would leave the signal unseen until something else happens.
            while not stopping.wait(_STEP_SECONDS):
                pass
        finally:
            simulator.stop()
    say("Stopped.")


def introduction(simulator: Simulator, options: Options) -> str:
    """Return where it is, its keys, cards and modes."""
    width = max(len(number) for number in CARDS)
    cards = (f"    {card.number:<{width}}  {card.says}" for card in CARDS.values())
    nmi = simulator.settings
    lines = [
        f"NMI simulator at {simulator.url}  (mode: {options.mode})",
        "  Set in the shop:",
        "    PAYMENT_GATEWAY=funnel.payments.nmi.NmiGateway",
        f"    NMI_URL={nmi['URL']}",
        f"    NMI_COLLECT_URL={nmi['COLLECT_URL']}",
        f"    NMI_TOKENIZATION_KEY={nmi['TOKENIZATION_KEY']}",
        "    NMI_SECURITY_KEY and NMI_WEBHOOK_KEYS: as given here",
        f"  Books: {options.books or 'in memory'}; see {simulator.url}/_control/books",
        f"  Events go to {simulator.webhooks.url or 'nobody'}",
        "  Test cards (any expiry, CVV 999 matches; amounts below 1.00 decline):",
        *cards,
        f"  Modes: {', '.join(MODES)}, code-NNN",
        f"  Everything else: {simulator.url}/_control/",
        "  Stop: Ctrl-C",
    ]
    return "\n".join(lines)


def _made(options: Options, say: Callable[[str], object]) -> Simulator:
    _check(options)
    try:
        simulator = Simulator(
            host=options.host,
            port=options.port,
            security_key=options.security_key,
            webhook_url=options.webhook_url,
            webhook_key=options.webhook_key,
            journal=options.books,
            dup_seconds=options.dup_seconds,
            takes_any_vault=options.takes_any_vault,
            say=say,
        )
    except JournalError as exc:
        raise SimulatorRefusedError(str(exc)) from exc
    except OSError as exc:
        raise SimulatorRefusedError(_why(exc, options)) from exc
    simulator.mode(options.mode)
    return simulator


def _check(options: Options) -> None:
    try:
        find_mode(options.mode)
    except UnknownModeError as exc:
        raise SimulatorRefusedError(str(exc)) from exc
    if not 0 <= options.port <= _MAX_PORT:
        raise SimulatorRefusedError(f"--port {options.port} is not a port's number.")
    if not _is_loopback(options.host) and not options.i_know_it_has_no_password:
        raise SimulatorRefusedError(
            f"{options.host} can be reached from other machines, and the simulator has no "
            "password. Use 127.0.0.1, or add --i-know-it-has-no-password."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _why(exc: OSError, options: Options) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"Port {options.port} is busy. Choose another: --port {options.port + 1}"
    return f"{exc.filename or f'{options.host}:{options.port}'}: {exc.strerror or exc}"


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Return what is set by Ctrl-C and SIGTERM while it is open."""
    stopping = threading.Event()
    kept = {
        number: signal.signal(number, lambda *_: stopping.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopping
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
