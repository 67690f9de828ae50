"""A test build of the NMI gateway, with named points at which its process stops and waits.

``CRASH_DIR/armed`` names one point. The process that comes to it removes the file, so that no
other stops there, writes its id into ``CRASH_DIR/reached`` and sleeps until it is killed. Nothing
of this is in the product: the points lie around the gateway's calls, in the receipt that T2 reads,
and in a middleware of the test's settings.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from funnel.payments.nmi import NmiGateway

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

    from funnel.payments.gateway import Receipt, Sale

BEFORE_SENDING = "before_sending"  # T1 is committed
WHILE_SENT = "while_sent"  # the request is on its way, or its answer
ANSWERED = "answered"  # the receipt is in hand, T2 has not begun
IN_T2 = "in_t2"  # session and attempt are locked, nothing is committed
SETTLED = "settled"  # T2 is committed, the client has no answer
POINTS = (BEFORE_SENDING, WHILE_SENT, ANSWERED, IN_T2, SETTLED)


def pause(point: str) -> None:
    """Stop for good, if a test asked for this point."""
    directory = Path(os.environ["CRASH_DIR"])
    armed = directory / "armed"
    taken = directory / f"taken-{os.getpid()}-{threading.get_ident()}"
    try:
        if armed.read_text() != point:
            return
        armed.rename(taken)  # one process alone can do it
    except FileNotFoundError:
        return
    temporary = directory / "reached.new"
    temporary.write_text(str(os.getpid()))
    temporary.rename(directory / "reached")
    time.sleep(600)


class PausingGateway(NmiGateway):
    """NMI, as the product calls it, with points to die at."""

    def sale(self, sale: Sale) -> Receipt:
        """Charge; die where the test says."""
        pause(BEFORE_SENDING)
        sending = threading.Timer(0.005, pause, [WHILE_SENT])
        sending.start()
        try:
            receipt = super().sale(sale)
        finally:
            sending.cancel()
        pause(ANSWERED)
        return replace(receipt, response=Watched(receipt.response))


class Watched(Mapping[str, Any]):
    """A receipt's answer that T2 reads, in the middle of its transaction."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self._answer = answer

    def __getitem__(self, name: str) -> Any:
        return self._answer[name]

    def __iter__(self) -> Iterator[str]:
        pause(IN_T2)
        return iter(self._answer)

    def __len__(self) -> int:
        return len(self._answer)


def pausing_middleware(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Stop between the view's answer and the client."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.path.endswith("/process"):
            pause(SETTLED)
        return response

    return middleware
