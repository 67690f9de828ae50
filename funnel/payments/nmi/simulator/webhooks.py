"""Webhooks: signed, delivered by a thread, tried again a bounded number of times."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from funnel.payments.nmi.simulator.events import Event, event_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from funnel.payments.nmi.simulator.records import Transaction

DELAYS_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
TIMEOUT_SECONDS: Final = 10
REORDERED_SECONDS: Final = 5.0
"""How long a reordered event waits for another one to overtake it."""
_OK: Final = range(200, 300)


class Webhooks:
    """The events, and the thread that delivers them; with no URL they are only listed.

    Attributes:
        url: where they go; may be set later, and what was listed until then redelivered.

    Args:
        delays_seconds: before each further try of one that was not answered 2xx.

    """

    def __init__(
        self,
        *,
        url: str = "",
        key: str = "",
        delays_seconds: Sequence[float] = DELAYS_SECONDS,
    ) -> None:
        self.url = url
        self._key = key.encode()
        self._delays = tuple(delays_seconds)
        self._changed = threading.Condition()
        self._events: dict[str, Event] = {}
        self._queue: deque[str] = deque()
        self._held: list[tuple[str, float]] = []
        self._is_holding = self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="nmi-webhooks", daemon=True)

    def start(self) -> None:
        """Start to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what waits is not delivered."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._thread.join(TIMEOUT_SECONDS + 1)

    @property
    def events(self) -> list[Event]:
        """All events, oldest first."""
        with self._changed:
            return list(self._events.values())

    def tell(
        self, transaction: Transaction, *, how: Literal["once", "twice", "reordered"] = "once"
    ) -> None:
        """Announce what has just happened to a transaction."""
        event = event_of(transaction)
        with self._changed:
            self._events[event.event_id] = event
            if not self.url:
                return
            self._queue_up(event.event_id)
            if how == "twice":
                self._queue_up(event.event_id)
            elif how == "reordered" and not self._is_holding:
                self._queue.remove(event.event_id)
                self._held.append((event.event_id, time.monotonic() + REORDERED_SECONDS))
            elif self._held and not self._is_holding:
                self._queue.extend(event_id for event_id, _ in self._held)
                self._held.clear()
            self._changed.notify_all()

    def hold(self) -> None:
        """Keep events back from now on."""
        with self._changed:
            self._is_holding = True

    def release(self, *, is_reversed: bool = False) -> int:
        """Deliver what was kept back, perhaps newest first; return how many."""
        with self._changed:
            self._is_holding = False
            event_ids = [event_id for event_id, _ in self._held]
            self._held.clear()
            self._queue.extend(reversed(event_ids) if is_reversed else event_ids)
            self._changed.notify_all()
            return len(event_ids)

    def redeliver(self, event_id: str | None = None) -> int:
        """Deliver one event again, or all; return how many."""
        with self._changed:
            chosen = [each for each in self._events if event_id in {None, each}]
            for each in chosen:
                event = self._events[each]
                self._events[each] = replace(event, state="waiting", tries=0, due_at=0)
                self._queue.append(each)
            self._changed.notify_all()
            return len(chosen)

    def reset(self) -> None:
        """Forget all events."""
        with self._changed:
            self._events.clear()
            self._queue.clear()
            self._held.clear()
            self._is_holding = False

    def drain(self, seconds: float = 30) -> bool:
        """Wait until nothing is left to deliver (kept-back events aside); tell whether it is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, timeout=seconds)

    def sign(self, body: bytes) -> str:
        """Return the header ``Webhook-Signature`` of a body."""
        nonce = secrets.token_hex(8)
        return f"t={nonce},s={signature(self._key, nonce, body)}"

    # The thread

    def _queue_up(self, event_id: str) -> None:
        if self._is_holding:
            self._held.append((event_id, float("inf")))
        else:
            self._queue.append(event_id)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._is_stopping:
                    return
                event = self._next()
                if event is None:
                    self._changed.wait(timeout=0.05 if self._queue or self._held else None)
                    continue
            status = self._post(event.body)
            with self._changed:
                self._note(event.event_id, status)
                self._changed.notify_all()

    def _next(self) -> Event | None:
        """Return the first event that is due, still queued."""
        now = time.monotonic()
        overdue = [event_id for event_id, until in self._held if until <= now]
        if overdue:
            self._held = [each for each in self._held if each[0] not in overdue]
            self._queue.extend(overdue)
        due = (each for each in self._queue if self._events[each].due_at <= now)
        return next((self._events[each] for each in due), None)

    def _note(self, event_id: str, status: int | None) -> None:
        event = self._events.get(event_id)
        if event is None:
            return  # forgotten meanwhile
        event = replace(event, tries=event.tries + 1, status=status)
        is_done = status in _OK
        if is_done or event.tries > len(self._delays):
            self._queue.remove(event_id)
            event = replace(event, state="delivered" if is_done else "given up")
        else:
            event = replace(event, due_at=time.monotonic() + self._delays[event.tries - 1])
        self._events[event_id] = event

    def _post(self, body: bytes) -> int | None:
        headers = {"Content-Type": "application/json", "Webhook-Signature": self.sign(body)}
        # The URL is the operator's own.
        request = urllib.request.Request(self.url, data=body, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code
        except (OSError, ValueError):
            return None


def signature(key: bytes, nonce: str, body: bytes) -> str:
    """Return the hex HMAC-SHA256 of nonce, a dot and the body."""
    return hmac.digest(key, nonce.encode() + b"." + body, hashlib.sha256).hex()
