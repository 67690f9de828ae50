"""Gateways for tests of the charge protocol; all keep the sandbox's books."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, ClassVar

from funnel.payments.sandbox import SandboxGateway

if TYPE_CHECKING:
    from collections.abc import Callable

    from funnel.payments.gateway import Receipt, Sale


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


class SlowGateway(SandboxGateway):
    """Answers late (``TEST_GATEWAY_SECONDS``), having charged at once."""

    def sale(self, sale: Sale) -> Receipt:
        """Charge, then wait."""
        receipt = super().sale(sale)
        time.sleep(float(os.environ["TEST_GATEWAY_SECONDS"]))
        return receipt
