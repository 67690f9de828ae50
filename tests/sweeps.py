"""What tests of recovery share: attempts come due, gateways that cannot be asked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from funnel.payments.models import ChargeAttempt
from sessions_unified.clock import get_clock
from tests.gateways import ScriptedGateway

if TYPE_CHECKING:
    from collections.abc import Callable

    from funnel.payments.gateway import Receipt


class QuestionedGateway(ScriptedGateway):
    """The scripted gateway, whose answers to questions a test chooses too."""

    asked: ClassVar[list[str]] = []
    answer: ClassVar[Callable[[str], Receipt | None] | None] = None

    @classmethod
    def reset(cls) -> None:
        """Forget the calls and the script."""
        super().reset()
        cls.asked = []
        cls.answer = None

    def query(self, order_id: str) -> Receipt | None:
        """Answer as scripted, or as the sandbox does."""
        self.asked.append(order_id)
        if self.answer is not None:
            return type(self).answer(order_id)
        return super().query(order_id)


def make_due(**only: object) -> None:
    """Let the lease and the pause of open attempts be over."""
    past = get_clock().now() - timedelta(seconds=1)
    attempts = ChargeAttempt.objects.filter(state__in=["claimed", "unknown"], **only)
    attempts.update(next_check_at=past, lease_until=past)
