"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import socket
from secrets import SystemRandom

from funnel.local.exceptions import LocalError

LOOPBACK = "127.0.0.1"
CANDIDATES = range(15_000, 30_000)
"""Below the ports that systems give to outgoing connections: those come and go at any moment."""
ATTEMPTS = 100


def free_port() -> int:
    """Return a port that was free an instant ago; another program may still take it first.

    Raises:
        LocalError: there is hardly any.

    """
    for port in SystemRandom().sample(CANDIDATES, ATTEMPTS):
        if is_free(port):
            return port
    raise LocalError(f"No free port between {CANDIDATES.start} and {CANDIDATES.stop} was found.")


def is_free(port: int) -> bool:
    """Tell whether a server of ours could listen on the port."""
    with socket.socket() as listener:
        # As servers do: connections of a stopped server (TIME_WAIT) don't make it busy.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
