"""The simulator as one thing: its books, modes, tokens and webhooks, and where it listens."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from funnel.payments.nmi.simulator.books import Books
from funnel.payments.nmi.simulator.cards import CARDS, find_card
from funnel.payments.nmi.simulator.modes import SCOPES, Modes, Rule, Scope, find_mode
from funnel.payments.nmi.simulator.query import Query
from funnel.payments.nmi.simulator.server import Server
from funnel.payments.nmi.simulator.tokens import Tokenized, Tokens
from funnel.payments.nmi.simulator.transact import Transact
from funnel.payments.nmi.simulator.webhooks import DELAYS_SECONDS, Webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from funnel.payments.nmi.simulator.records import Transaction

SECURITY_KEY: Final = "simulator-security-key"
WEBHOOK_KEY: Final = "simulator-webhook-key"
TOKENIZATION_KEY: Final = "simulator-tokenization-key"
APPROVED_CARD: Final = "4111111111111111"
HANG_SECONDS: Final = 120.0


class Simulator:
    """A local NMI.

    Args:
        host: the interface to listen on.
        port: 0: any that is free.
        journal: the file that keeps the books; None: memory only.
        dup_seconds: the account's window for duplicates; a request's own ``dup_seconds`` wins.
        takes_any_vault: vault ids that were never stored here are an approved card.
        hang_seconds: how long a hanging answer holds its connection at most.
        say: told a line for each request, without card data.
        now: seconds since the epoch.

    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        security_key: str = SECURITY_KEY,
        webhook_url: str = "",
        webhook_key: str = WEBHOOK_KEY,
        webhook_delays: Sequence[float] = DELAYS_SECONDS,
        journal: Path | None = None,
        dup_seconds: int = 0,
        takes_any_vault: bool = False,
        hang_seconds: float = HANG_SECONDS,
        say: Callable[[str], object] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.security_key = security_key
        self.webhook_key = webhook_key
        self.modes = Modes()
        self.tokens = Tokens()
        self.webhooks = Webhooks(url=webhook_url, key=webhook_key, delays_seconds=webhook_delays)
        self.books = Books(journal, now=now)
        self.transact = Transact(
            books=self.books,
            tokens=self.tokens,
            modes=self.modes,
            webhooks=self.webhooks,
            dup_seconds=dup_seconds,
            unknown_vault=CARDS[APPROVED_CARD] if takes_any_vault else None,
        )
        self.query = Query(books=self.books, modes=self.modes)
        try:
            self.server = Server((host, port), self, hang_seconds=hang_seconds, say=say)
        except OSError:
            self.books.close()
            raise
        self._thread = threading.Thread(
            target=self.server.serve_forever, args=(0.05,), name="nmi-simulator", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens, without a final slash."""
        host, port = self.server.server_address[:2]
        name = str(host)
        return f"http://{f'[{name}]' if ':' in name else name}:{port}"

    @property
    def settings(self) -> dict[str, Any]:
        """What ``FUNNEL["NMI"]`` is for a shop that runs on it."""
        return {
            "URL": f"{self.url}/api/",
            "SECURITY_KEY": self.security_key,
            "WEBHOOK_KEYS": [self.webhook_key],
            "TOKENIZATION_KEY": TOKENIZATION_KEY,
            "COLLECT_URL": f"{self.url}/token/Collect.js",
        }

    def start(self) -> None:
        """Listen, in a thread of its own."""
        self.webhooks.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop; hanging answers are dropped."""
        self.server.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()
        self.webhooks.stop()
        self.books.close()

    def mode(
        self,
        name: str,
        *,
        times: int | None = None,
        sales: Scope = "sales",
        card: str | None = None,
        hidden_calls: int | None = None,
    ) -> None:
        """Choose what becomes of requests from now on.

        Args:
            name: a key of `modes.MODES`, or ``code-NNN``.
            times: only of the next so many; None: until another mode is chosen.
            sales: "sales", "first" (by payment token), "later" (by vault id), "reversals" (voids
                and refunds) or "queries".
            card: only of this test card's.
            hidden_calls: queries that do not find what was charged.

        Raises:
            ValueError: one of these is none.

        """
        mode = find_mode(name)
        if hidden_calls is not None:
            mode = replace(mode, hidden_calls=hidden_calls)
        if sales not in SCOPES:
            raise ValueError(f"sales is one of {', '.join(SCOPES)}.")
        if times is not None and times < 1:
            raise ValueError("times is 1 or more.")
        meant = None if card is None else find_card(card)
        if card is not None and meant is None:
            raise ValueError("This is no test card.")
        number = None if meant is None else meant.number
        self.modes.add(Rule(mode=mode, scope=sales, card=number, times=times))

    def token(self, card: str = APPROVED_CARD, *, cvv: str = "999", expiry: str = "1025") -> str:
        """Return a new payment token for a test card (a number of `cards.CARDS`)."""
        return self.tokens.mint(Tokenized(card=CARDS[card], cvv=cvv, expiry=expiry))

    @property
    def charges(self) -> list[Transaction]:
        """What took money and has not been voided."""
        return self.books.charges

    def reset(self) -> None:
        """Forget books, stored cards, tokens, modes and events."""
        self.modes.reset()
        self.tokens.reset()
        self.webhooks.reset()
        self.books.reset()


@contextmanager
def running_simulator(**options: Any) -> Iterator[Simulator]:
    """Run a simulator in this process; the arguments are `Simulator`'s."""
    simulator = Simulator(**options)
    simulator.start()
    try:
        yield simulator
    finally:
        simulator.stop()
