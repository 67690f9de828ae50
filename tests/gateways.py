"""Gateways for tests of the charge protocol; all keep the sandbox's books."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar, TypeVar

from funnel.payments.gateway import Outcome, Receipt
from funnel.payments.sandbox import SandboxGateway
from tests.holding import is_held_back
from tests.managing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django.fixtures import SettingsWrapper

    from funnel.payments.gateway import Reversal, Sale

AnyScripted = TypeVar("AnyScripted", bound="ScriptedGateway")
HOLD_SECONDS = 60


class ScriptedGateway(SandboxGateway):
    """The sandbox, watched: counts its calls, and runs what a test wants to happen meanwhile."""

    calls: ClassVar[list[Sale]] = []
    meanwhile: ClassVar[Callable[[Sale], None] | None] = None
    change: ClassVar[Callable[[Receipt], Receipt] | None] = None
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def reset(cls) -> None:
        """Forget the calls and the script."""
        cls.calls = []
        cls.meanwhile = cls.change = None

    def sale(self, sale: Sale) -> Receipt:
        """Charge as the sandbox does."""
        with self._lock:
            self.calls.append(sale)
        if self.meanwhile is not None:
            type(self).meanwhile(sale)
        receipt = super().sale(sale)
        return receipt if self.change is None else type(self).change(receipt)


def taking(
    gateway: type[AnyScripted], settings: SettingsWrapper, **changes: object
) -> Iterator[type[AnyScripted]]:
    """Take the money by a gateway, with more of ``FUNNEL`` changed: what a fixture yields from."""
    path = f"{gateway.__module__}.{gateway.__qualname__}"
    settings.FUNNEL = settings.FUNNEL | {"GATEWAY": path} | changes
    gateway.reset()
    yield gateway
    gateway.reset()


class HeldGateway(SandboxGateway):
    """Charges at once, and keeps its answer back while a test holds it (`tests.holding`)."""

    def sale(self, sale: Sale) -> Receipt:
        """Charge, then wait."""
        receipt = super().sale(sale)
        wait_for(lambda: not is_held_back(), seconds=HOLD_SECONDS)
        return receipt


class ReversingGateway(ScriptedGateway):
    """The scripted gateway with books of what it gave back, watched likewise.

    Attributes:
        reversals: every call, in order.
        books: our order id → what was really given back.
        answer: makes of the honest receipt what is answered; may raise, as a lost answer does.
        executes: whether a call gives anything back.

    """

    supports_reversals: ClassVar[bool] = True
    reversals: ClassVar[list[Reversal]] = []
    books: ClassVar[dict[str, Reversal]] = {}
    answer: ClassVar[Callable[[Receipt], Receipt] | None] = None
    executes: ClassVar[bool] = True

    @classmethod
    def reset(cls) -> None:
        """Forget the calls, the books and the script."""
        super().reset()
        cls.reversals, cls.books = [], {}
        cls.answer, cls.executes = None, True

    def reverse(self, reversal: Reversal) -> Receipt:
        """Give back, unless told otherwise, and answer as told."""
        with self._lock:
            self.reversals.append(reversal)
            if self.executes:
                self.books[reversal.order_id] = reversal
        receipt = self._given_back(reversal)
        return receipt if self.answer is None else type(self).answer(receipt)

    def query_reversal(self, reversal: Reversal) -> Receipt | None:
        """Return what the books say."""
        known = self.books.get(reversal.order_id)
        return None if known is None else self._given_back(known)

    @staticmethod
    def _given_back(reversal: Reversal) -> Receipt:
        return Receipt(
            outcome=Outcome.SUCCEEDED,
            transaction_id=reversal.transaction_id if reversal.is_void else f"r{reversal.order_id}",
            amount=reversal.amount,
            currency=reversal.currency,
            reason="APPROVED",
            response={"code": "100"},
        )
