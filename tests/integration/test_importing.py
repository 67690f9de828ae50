"""Sessions from elsewhere, inserted in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from funnel.payments.models import ChargeAttempt
from sessions_unified.exceptions import VersionConflictError
from sessions_unified.importing import import_sessions
from sessions_unified.models import SessionEvent, UnifiedSession
from sessions_unified.reimporting import merge_imported, replace_imported
from sessions_unified.testing import FrozenClock
from sessions_unified.tiers.database import Change
from tests.sessions import BORN, snapshot

if TYPE_CHECKING:
    from sessions_unified.manager import UnifiedSessionManager
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


@pytest.mark.parametrize("way", ["replace", "merge"])
def test_the_caches_are_told(
    manager: UnifiedSessionManager, time_for_redis: None, way: str
) -> None:
    tiers = manager._tiers
    before = manager.create_session(email="ana@example.org")
    assert manager.get_session(before.id).email == "ana@example.org"
    after = msgspec.structs.replace(before, email="new@example.org")

    if way == "replace":
        version = replace_imported(tiers, after, if_version=before.version, source="old")
    else:
        version = merge_imported(tiers, before, after, source="old")

    assert version == 2
    assert manager.get_session(before.id).email == "new@example.org"


def test_a_session_that_moved_on_is_not_overwritten(make_tiers: MakeTiers) -> None:
    tiers = make_tiers(clock=FrozenClock(BORN))
    session = snapshot()
    import_sessions(tiers, [session], source="old")
    after = msgspec.structs.replace(session, email="new@example.org")
    merge_imported(tiers, session, after, source="old")

    with pytest.raises(VersionConflictError):
        merge_imported(tiers, session, after, source="old")
    with pytest.raises(VersionConflictError):
        replace_imported(tiers, after, if_version=1, source="old")

    assert UnifiedSession.objects.get().version == 2


def test_every_field_comes_through_the_batch_as_through_a_single_write(
    make_tiers: MakeTiers,
) -> None:
    tiers = make_tiers(clock=FrozenClock(BORN))
    full = snapshot(
        id="ws_1_b",
        email="åse@example.org",
        customer={"firstName": "Åse 😀", "n": 1, "list": [1.5, None, "x"]},
        products=[{"id": "SOIL", "quantity": 2, "price": "12.50", "extra": {"a": "b"}}],
        amount="1234567890.1200",
        currency="JPY",
        vault_id="117041394",
        payment_token="tok_x",
        upsells={"declined": ["a"], "details": {"a": {"amount": 1}}},
        metadata={"quote": '"\\', "deep": {"x": [{}]}},
    )

    import_sessions(tiers, [full, snapshot()], source="old")

    one = msgspec.structs.replace(full, id="ws_1_c")
    change = Change(kind="session_created", actor="system", at=BORN)
    assert tiers.database.insert(one, change)
    stored = tiers.database.peek_many(["ws_1_a", "ws_1_b", "ws_1_c"])
    assert stored["ws_1_a"].session == snapshot()
    assert (
        msgspec.structs.replace(stored["ws_1_b"].session, id="ws_1_c") == stored["ws_1_c"].session
    )
    raw = UnifiedSession.objects.filter(pk="ws_1_b").values_list("vault_id", "payment_token").get()
    assert all(text.startswith("sealed:") for text in raw)
