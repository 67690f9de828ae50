"""A legacy store that lets requests wait in vain is left alone; one that fails at once is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from legacy_adapters import patience
from legacy_adapters.exceptions import SourceUnavailableError
from legacy_adapters.memory_cache import MemoryCacheAdapter
from tests.legacy_tokens import data

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from legacy_adapters.base import LegacyRecord

ID = "ws_mwo5wwds_2"


class Store(MemoryCacheAdapter):
    """A store whose answers take a given time, and may fail."""

    def __init__(self, *, seconds: float) -> None:
        super().__init__(source="hanging", mapping={ID: data()})
        self.seconds = seconds
        self.now = 0.0
        self.asked = 0
        self.fails = True

    def peek(self, session_id: str) -> LegacyRecord | None:
        self.asked += 1
        self.now += self.seconds
        if self.fails:
            raise SourceUnavailableError
        return super().peek(session_id)

    def met(self) -> LegacyRecord | None:
        return patience.peek(self, ID, monotonic=lambda: self.now)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    patience._breaker.cache_clear()
    yield
    patience._breaker.cache_clear()


def fail(store: Store, times: int) -> None:
    for _ in range(times):
        with pytest.raises(SourceUnavailableError):
            store.met()


def test_after_three_long_waits_in_vain_it_is_not_asked_again() -> None:
    store = Store(seconds=patience.SLOW_SECONDS)

    fail(store, times=10)

    assert store.asked == 3


def test_who_fails_at_once_is_asked_each_time() -> None:
    store = Store(seconds=patience.SLOW_SECONDS / 2)

    fail(store, times=10)

    assert store.asked == 10


def test_an_answer_however_slow_makes_good() -> None:
    store = Store(seconds=2)
    fail(store, times=2)

    store.fails = False
    record = store.met()
    store.fails = True
    fail(store, times=3)

    assert record is not None
    assert store.asked == 6


def test_several_records_are_one_question() -> None:
    class Several(Store):
        def peek_many(self, session_ids: Collection[str]) -> dict[str, LegacyRecord]:
            return {each: record for each in session_ids if (record := self.peek(each))}

    store = Several(seconds=patience.SLOW_SECONDS)
    fail(store, times=3)
    with pytest.raises(SourceUnavailableError):
        patience.peek_many(store, [ID], monotonic=lambda: store.now)
    assert store.asked == 3

    patience._breaker.cache_clear()
    store.fails = False

    assert patience.peek_many(store, [ID], monotonic=lambda: store.now) == {ID: store.peek(ID)}


def test_later_one_request_tries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_RESET_SECONDS", 0.0)
    store = Store(seconds=2)
    fail(store, times=3)

    store.fails = False

    assert store.met() is not None
