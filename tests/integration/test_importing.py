"""Sessions from elsewhere, inserted in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from funnel.payments.models import ChargeAttempt
from sessions_unified.importing import import_sessions
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.testing import FrozenClock
from tests.sessions import snapshot

if TYPE_CHECKING:
    from tests.managing import MakeTiers


def test_an_id_that_comes_twice_is_imported_once_as_the_first(make_tiers: MakeTiers) -> None:
    tiers = make_tiers(clock=FrozenClock())
    paid = {"id": "ws_1_a", "status": "processing", "current_step": "upsell-1", "amount": "9.99"}
    first = snapshot(**paid, transaction_id="t1")
    second = snapshot(**paid, transaction_id="t2")

    assert import_sessions(tiers, [first, second], source="old") == {"ws_1_a": 1}

    assert UnifiedSession.objects.get(pk="ws_1_a").transaction_id == "t1"
    assert SessionEvent.objects.filter(session_id="ws_1_a").count() == 1
    (attempt,) = ChargeAttempt.objects.filter(session_id="ws_1_a")
    assert (attempt.state, attempt.transaction_id) == ("succeeded", "t1")


def test_a_failing_receiver_leaves_nothing(make_tiers: MakeTiers) -> None:
    from sessions_unified.signals import session_imported

    tiers = make_tiers(clock=FrozenClock())

    def refuse(**_: object) -> None:
        raise RuntimeError

    session_imported.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            import_sessions(tiers, [snapshot()], source="old")
    finally:
        session_imported.disconnect(refuse)

    assert not UnifiedSession.objects.exists()
    assert not SessionEvent.objects.exists()
    assert not ChargeAttempt.objects.exists()
