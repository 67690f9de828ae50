"""What makes a row fail rather than flatter: degraded answers, wrong statuses, work not done."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from funnel.local.exceptions import LocalError
from tests.benchmarks import bench as benches
from tests.benchmarks import cleaning, importing, loading
from tests.benchmarks.bench import Bench
from tests.benchmarks.invalidation import Listener
from tests.benchmarks.measuring import Plan
from tests.benchmarks.servers import _refuse_redis_in_use
from tests.benchmarks.traffic import Expected, WrongTierError
from tests.benchmarks.web import Site

if TYPE_CHECKING:
    import redis


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a run without servers, whose managers answer anything."""
    made = Bench(
        servers=None,  # type: ignore[arg-type]  # nothing here reaches for them
        plan=Plan(),
        bulk_rows=10,
        growth_rows=10,
        stack=ExitStack(),
    )
    made.__dict__["traffic"] = SimpleNamespace(expecting=lambda expected: nullcontext)
    made.__dict__["database"] = None
    made.__dict__["all_tiers"] = None
    monkeypatch.setattr(
        benches, "UnifiedSessionManager", lambda tiers: SimpleNamespace(degraded=set())
    )
    return made


def test_a_degraded_answer_fails_the_row(bench: Bench) -> None:
    managers: list[Any] = []
    side = bench.ours(
        lambda: None,  # type: ignore[arg-type,return-value]
        lambda manager: managers.append(manager) or str,  # type: ignore[func-returns-value]
        keys="ab",
        expected=Expected(),
    )

    side.start()
    side.start()
    managers[-1].degraded.add("redis")

    assert len(managers) == 2
    with pytest.raises(WrongTierError, match="degraded"):
        side.start()


def answering(status: int, **headers: str) -> Site:
    response = SimpleNamespace(status=status, headers=headers_of(headers), read=lambda: b"{}")
    connection: Any = SimpleNamespace(
        request=lambda *args, **kwargs: None, getresponse=lambda: response
    )
    return Site(connection=connection, cookies={"ws_1_a": "c=t"})


def headers_of(given: dict[str, str]) -> dict[str, str | None]:
    names = ("Session-Degraded",)
    return {name: given.get(name.replace("-", "_")) for name in names}


def test_a_plain_answer_is_measured() -> None:
    assert answering(200).get("/api/session/")("ws_1_a") == b"{}"


@pytest.mark.parametrize(
    "site", [answering(401), answering(503), answering(200, Session_Degraded="redis")]
)
def test_an_answer_that_is_no_plain_200_fails_the_row(site: Site) -> None:
    with pytest.raises(WrongTierError, match="/api/session/"):
        site.get("/api/session/")("ws_1_a")


def listener(text: bytes) -> Listener:
    process: Any = SimpleNamespace(stdout=io.BytesIO(text), stdin=io.BytesIO())
    return Listener(process)


def test_a_drop_is_dated_by_the_other_process() -> None:
    assert listener(b"ready\n1234\n").dropped_at() == 1234


@pytest.mark.parametrize("said", [b"kept\n", b""])
def test_a_copy_that_is_kept_fails_the_row(said: bytes) -> None:
    with pytest.raises(WrongTierError, match="answered"):
        listener(b"ready\n" + said).dropped_at()


def test_another_process_that_does_not_come_up_fails_the_row() -> None:
    with pytest.raises(WrongTierError, match="not 'ready'"):
        listener(b"")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend tables in which nine of ten rows were handled."""
    for name in ("truncate", "load", "settle"):
        monkeypatch.setattr(loading, name, lambda *args: None)
    monkeypatch.setattr(loading, "count", lambda *args: 9)


def test_cleaning_left_undone_fails_the_row(bench: Bench, tables: None) -> None:
    with pytest.raises(WrongTierError, match="9 of 10"):
        cleaning._rate(bench, loading.PENDING_AND_DUE, "TRUE", lambda: None)


def test_an_import_left_undone_fails_the_row(bench: Bench, tables: None) -> None:
    with pytest.raises(WrongTierError, match="9 of 10"):
        importing._rate(bench, lambda: None)


def test_a_redis_with_keys_in_it_is_refused(
    redis_client: redis.Redis, redis_flush: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_client.set("somebodys", "data")

    with pytest.raises(LocalError, match="keys in it"):
        _refuse_redis_in_use(os.environ["REDIS_URL"])
