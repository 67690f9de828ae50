"""Stages move, sides fail and processes die between shoppers' writes: nothing acknowledged is lost.

Two processes, each with what it has seen of the stages, do what a shop does to a few sessions; the
ledger says what every read must find. At the end both sides agree, and every session comes through
a way back to `off` and forward again as it was.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from legacy_adapters.merging.comparing import differing
from legacy_adapters.migration import MigratingSessionManager, marks
from legacy_adapters.migration.repair.copying import repair
from legacy_adapters.migration.stages.names import Endpoint, Side, Stage
from legacy_adapters.models import WriteMark
from sessions_unified.exceptions import (
    DatabaseUnavailableError,
    SessionNotFoundError,
    VersionConflictError,
)
from tests.managing import in_threads
from tests.migrating import marked, migrating_shop, table
from tests.migrating_course import Course, no_grace
from tests.migrating_model import (
    ADAPTER,
    FAULTS,
    POINTS,
    KilledError,
    Ledger,
    Process,
    attempt,
    no_database,
    state_of,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis
    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.manager import UnifiedSessionManager
    from sessions_unified.snapshot import SessionSnapshot
    from tests.managing import MakeTiers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "legacy"])

ENDPOINTS: Final = (*Endpoint.values, "default")
UNAVAILABLE: Final = DatabaseUnavailableError
PARTS: Final = ("email", "customer", "amount", "metadata", "all")


def changes_of(part: str, number: int) -> dict[str, Any]:
    """Return a change that no other is like."""
    found = {
        "email": f"shopper{number}@example.org",
        "customer": {"firstName": f"Ana {number}"},
        "amount": Decimal(number),
        "metadata": {"n": number},
    }
    return found if part == "all" else {part: found[part]}


class Migration(RuleBasedStateMachine):
    """Does to a shop that is being moved what shoppers, operators and bad luck do."""

    processes: list[Process]
    redis: redis.Redis

    of_process = st.integers(0, 1)
    of_session = st.integers(0, 2)
    of_endpoint = st.sampled_from(ENDPOINTS)
    of_part = st.sampled_from(PARTS)
    of_percent = st.sampled_from([25, 60, 100, 100])

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushdb()
        FAULTS.heal()
        self.ledger = Ledger()
        self.course = Course(self.processes, self.ledger)
        self.number = 0
        self.ids: list[str] = []

    @initialize(stage=st.sampled_from(Stage), ahead=st.none() | st.sampled_from(Endpoint))
    def begin(self, stage: Stage, ahead: Endpoint | None) -> None:
        """Begin with all endpoints at a stage, one of them perhaps at the next."""
        self.course.begin_at(stage)
        if ahead is not None:
            self.course.forward(ahead, 100)
        for process in (0, 1):
            self.create(process, "session.create", is_plain=bool(process))

    # What a process does

    def manager(self, process: int, endpoint: str) -> UnifiedSessionManager:
        return MigratingSessionManager(endpoint=endpoint, tiers=self.processes[process].tiers)

    def do(self, process: int, endpoint: str, work: Callable[[UnifiedSessionManager], Any]) -> Any:
        """Return what the work answers, or how it failed; a process that dies is started anew."""
        ours = (SessionNotFoundError, VersionConflictError, UNAVAILABLE)
        try:
            with self.processes[process].acting():
                return attempt(lambda: work(self.manager(process, endpoint)), *ours)
        except KilledError as exc:
            self.processes[process].view = None
            self.redis.flushdb()  # the relay drops the copies that it had no time to
            return exc
        finally:
            FAULTS.point = None

    def id(self, session: int) -> str:
        return self.ids[session % len(self.ids)]

    def next(self) -> int:
        self.number += 1
        return self.number

    def write(
        self,
        process: int,
        endpoint: str,
        session_id: str,
        change: dict[str, Any],
        work: Callable[[UnifiedSessionManager], SessionSnapshot],
        *,
        may_fail: bool = False,
    ) -> None:
        """Change a session, and keep the books of what may be now."""
        found = self.do(process, endpoint, work)
        before, after = self.ledger.states[session_id], self.ledger.after(session_id, change)
        if isinstance(found, SessionNotFoundError):
            self.ledger.saw(session_id, None)
        elif isinstance(found, BaseException):
            assert may_fail, found
            half = self.ledger.half(session_id, change)
            self.ledger.now(session_id, *before, *half, *after)
        else:
            self.ledger.now(session_id, *after)
            self.ledger.saw(session_id, state_of(found))
            if self.course.view().stage_of(endpoint, session_id).writes_unified:
                self.ledger.behind.discard(session_id)

    def update(
        self, process: int, endpoint: str, session_id: str, part: str, *, may_fail: bool = False
    ) -> None:
        change = changes_of(part, self.next())
        self.write(
            process,
            endpoint,
            session_id,
            change,
            lambda manager: manager.update_session(session_id, change),
            may_fail=may_fail,
        )

    def count(
        self, process: int, endpoint: str, session_id: str, *, may_fail: bool = False
    ) -> None:
        """Read under the lock, and write what follows from it."""
        number = self.next()

        def work(manager: UnifiedSessionManager) -> SessionSnapshot:
            with manager.lock_session(session_id) as locked:
                assert state_of(locked.session) in self.ledger.states[session_id]
                after = locked.update({"customer": {"firstName": f"Eva {number}"}}, kind="counted")
                return locked.update({"metadata": {"n": number}}, kind="counted") and locked.session
            return after

        change = {"customer": {"firstName": f"Eva {number}"}, "metadata": {"n": number}}
        self.write(process, endpoint, session_id, change, work, may_fail=may_fail)

    def remove(
        self, process: int, endpoint: str, session_id: str, *, may_fail: bool = False
    ) -> None:
        found = self.do(process, endpoint, lambda manager: manager.delete_session(session_id))
        if isinstance(found, SessionNotFoundError):
            self.ledger.saw(session_id, None)
        elif isinstance(found, BaseException):
            assert may_fail, found
            self.ledger.now(session_id, *self.ledger.states[session_id], None)
        else:
            self.ledger.now(session_id, None)

    # Rules

    @rule(process=of_process, endpoint=of_endpoint, is_plain=st.booleans())
    def create(self, process: int, endpoint: str, is_plain: bool) -> None:
        given: dict[str, Any] = {"email": f"shopper{self.next()}@example.org"}
        if not is_plain:
            given |= {"metadata": {"n": 0}, "currency": "EUR", "amount": Decimal(7)}
        session = self.do(process, endpoint, lambda manager: manager.create_session(**given))
        assert not isinstance(session, BaseException), session
        state = state_of(session)
        assert {name: state[name] for name in given} == given
        self.ledger.now(session.id, state)
        self.ids = [*self.ids, session.id][-3:]

    @rule(process=of_process, endpoint=of_endpoint, session=of_session, part=of_part)
    def change(self, process: int, endpoint: str, session: int, part: str) -> None:
        self.update(process, endpoint, self.id(session), part)

    @rule(process=of_process, endpoint=of_endpoint, session=of_session)
    def read_modify_write(self, process: int, endpoint: str, session: int) -> None:
        self.count(process, endpoint, self.id(session))

    @rule(process=of_process, endpoint=of_endpoint, session=of_session)
    def delete(self, process: int, endpoint: str, session: int) -> None:
        self.remove(process, endpoint, self.id(session))

    @rule(
        process=of_process,
        endpoint=of_endpoint,
        session=of_session,
        point=st.sampled_from(POINTS),
        is_deadly=st.booleans(),
        what=st.sampled_from(["change", "change", "count", "delete"]),
    )
    def write_that_fails(
        self, process: int, endpoint: str, session: int, point: str, is_deadly: bool, what: str
    ) -> None:
        """A side fails in the midst of a write, or the process dies there."""
        FAULTS.point, FAULTS.is_deadly = point, is_deadly
        if what == "change":
            self.update(process, endpoint, self.id(session), "all", may_fail=True)
        elif what == "count":
            self.count(process, endpoint, self.id(session), may_fail=True)
        else:
            self.remove(process, endpoint, self.id(session), may_fail=True)

    @rule(
        process=of_process,
        endpoint=of_endpoint,
        session=of_session,
        point=st.sampled_from(POINTS),
        is_deadly=st.booleans(),
        mover=st.sampled_from(Endpoint),
        stage=st.none() | st.sampled_from(Stage),
    )
    def write_that_fails_and_a_move(
        self,
        process: int,
        endpoint: str,
        session: int,
        point: str,
        is_deadly: bool,
        mover: Endpoint,
        stage: Stage | None,
    ) -> None:
        """What a failure left behind is met after a move, before any worker came."""
        self.write_that_fails(process, endpoint, session, point, is_deadly, "change")
        if stage is None:
            self.course.forward(mover, 100)
        else:
            self.course.back(mover, stage)
        self.look_everywhere(self.id(session))

    @rule(process=of_process, endpoint=of_endpoint, session=of_session, writes=st.booleans())
    def legacy_is_down(self, process: int, endpoint: str, session: int, writes: bool) -> None:
        FAULTS.is_legacy_down = True
        if writes:
            self.update(process, endpoint, self.id(session), "all", may_fail=True)
        self.look(process, endpoint, self.id(session), fresh=True, may_fail=True)
        FAULTS.is_legacy_down = False

    @rule(process=of_process, endpoint=of_endpoint, session=of_session)
    def ours_is_down(self, process: int, endpoint: str, session: int) -> None:
        """Write as far as it goes on alone: what it changes, our side cannot know."""
        session_id = self.id(session)
        self.processes[process].refresh()
        with no_database(*(each.tiers for each in self.processes)):
            part = "email"
            change = changes_of(part, self.next())
            found = self.do(
                process, endpoint, lambda manager: manager.update_session(session_id, change)
            )
        if isinstance(found, UNAVAILABLE):
            return
        assert not isinstance(found, VersionConflictError)
        if isinstance(found, SessionNotFoundError):
            self.ledger.saw(session_id, None)
            return
        assert found.email == change["email"]
        self.ledger.now(session_id, *self.ledger.after(session_id, change))
        self.ledger.behind.add(session_id)

    @rule(session=of_session)
    def old_code_writes(self, session: int) -> None:
        """The old code changes the row beside us, as long as that is written first.

        After a way back it may do so again once repair has drained.
        """
        session_id = self.id(session)
        view = self.course.view()
        reads = {view.stage_of(each, session_id).reads for each in Endpoint}
        if Side.LEGACY not in reads or marked(session_id) == Side.UNIFIED:
            return
        change = {"email": f"old{self.next()}@example.org"}
        if change_there(session_id, change["email"]):
            self.ledger.now(session_id, *self.ledger.after(session_id, change))
            self.ledger.behind.add(session_id)

    # Reads

    @rule(process=of_process, endpoint=of_endpoint, session=of_session, fresh=st.booleans())
    def read(self, process: int, endpoint: str, session: int, fresh: bool) -> None:
        self.look(process, endpoint, self.id(session), fresh=fresh)

    @rule(session=of_session)
    def read_everywhere(self, session: int) -> None:
        self.look_everywhere(self.id(session))

    def look_everywhere(self, session_id: str) -> None:
        for endpoint in ENDPOINTS:
            for process in (0, 1):
                self.look(process, endpoint, session_id, fresh=True)

    def look(
        self, process: int, endpoint: str, session_id: str, *, fresh: bool, may_fail: bool = False
    ) -> None:
        """Read a session: it must be in a state that it can be in."""
        found = self.do(
            process, endpoint, lambda manager: manager.get_session(session_id, fresh=fresh)
        )
        if isinstance(found, UNAVAILABLE):
            assert may_fail, found
            return
        state = None if isinstance(found, SessionNotFoundError) else state_of(found)
        if self._may_be_late(process, endpoint, session_id):
            self.ledger.saw_late(session_id, state)
        else:
            self.ledger.saw(session_id, state)

    def _may_be_late(self, process: int, endpoint: str, session_id: str) -> bool:
        """Tell whether the reader has not heard of a move back, or our side of the old code."""
        view = self.processes[process].view
        assert view is not None
        if any(view.epoch < each for each in self.course.backs):
            return True
        reads = view.stage_of(endpoint, session_id).reads
        return session_id in self.ledger.behind and reads is Side.UNIFIED

    @rule(process=of_process, endpoint=of_endpoint, session=of_session)
    def write_by_an_old_version(self, process: int, endpoint: str, session: int) -> None:
        """What was changed since it was read is not overwritten, whichever side has it by now."""
        session_id = self.id(session)
        seen = self.do(process, endpoint, lambda manager: manager.get_session(session_id))
        self.update(1 - process, endpoint, session_id, "email")
        if isinstance(seen, BaseException):
            return
        change = changes_of("email", self.next())
        found = self.do(
            process,
            endpoint,
            lambda manager: manager.update_session(session_id, change, if_version=seen.version),
        )
        assert isinstance(found, VersionConflictError | SessionNotFoundError), found

    # Moves

    @rule(endpoint=st.sampled_from(Endpoint), percent=of_percent)
    def forward(self, endpoint: Endpoint, percent: int) -> None:
        self.course.forward(endpoint, percent)

    @rule(
        endpoint=st.sampled_from(Endpoint),
        process=of_process,
        other=of_endpoint,
        session=of_session,
    )
    def hurry(self, endpoint: Endpoint, process: int, other: str, session: int) -> None:
        """Bring one endpoint as far as the gates let it go alone."""
        for _ in Stage:
            if not self.course.is_backfilled:
                self.course.catch_up()
            self.course.forward(endpoint, 100)
        self.update(process, other, self.id(session), "all")
        self.look_everywhere(self.id(session))

    @rule(percent=of_percent)
    def all_forward(self, percent: int) -> None:
        if not self.course.is_backfilled:
            self.course.catch_up()
        for each in Endpoint:
            self.course.forward(each, percent)

    @rule(
        endpoint=st.sampled_from(Endpoint),
        stage=st.sampled_from([*Stage][:-1]),
        percent=of_percent,
    )
    def back(self, endpoint: Endpoint, stage: Stage, percent: int) -> None:
        self.course.back(endpoint, stage, percent)

    @rule()
    def all_off(self) -> None:
        for each in Endpoint:
            self.course.back(each, Stage.OFF)

    @rule(process=of_process)
    def hear_of_the_stages(self, process: int) -> None:
        self.processes[process].refresh()

    @rule()
    def worker(self) -> None:
        self.course.work()

    @rule(point=st.sampled_from(POINTS), is_deadly=st.booleans())
    def worker_that_fails(self, point: str, is_deadly: bool) -> None:
        FAULTS.point, FAULTS.is_deadly = point, is_deadly
        self.do(0, "default", lambda _: self.course.work())

    @rule()
    def catch_up(self) -> None:
        self.course.catch_up()

    # The end

    def teardown(self) -> None:
        FAULTS.heal()
        self.course.tell_all()
        self.course.work()
        assert not WriteMark.objects.exists()
        self.check_all()
        self.all_off()
        self.check_all()
        self.course.go_live()
        self.check_all()
        super().teardown()

    def check_all(self) -> None:
        self.course.tell_all()
        if self.ledger.behind:
            self.course.catch_up()
        for session_id in self.ledger.states:
            self.look_everywhere(session_id)
            if self.course.keeps_both_sides():
                check_both_sides(self.processes[0], session_id)


def change_there(session_id: str, email: str) -> bool:
    """Change the row as the old code does; tell whether there is one."""
    there = table().table
    with there.connection.cursor() as cursor:
        sql = "UPDATE {} SET {email} = %s, {updated_at} = clock_timestamp() WHERE {id} = %s"
        cursor.execute(there.statement(sql), [email, session_id])
        return bool(cursor.rowcount)


def check_both_sides(process: Process, session_id: str) -> None:
    """Check that both sides say the same of a session, by the rules that parity has."""
    record, copy = table().peek(session_id), process.tiers.database.peek(session_id)
    assert (record is None) is (copy is None), session_id
    if record is not None and copy is not None:
        there, now = table().to_unified(record), process.tiers.clock.now()
        assert not differing(there, copy.session, fields=table().fields, now=now)


@pytest.fixture(autouse=True)
def shop(
    elsewhere: str,
    make_tiers: MakeTiers,
    redis_client: redis.Redis,
    settings: SettingsWrapper,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Start two processes of a shop whose sides can fail."""
    with migrating_shop(settings, alias="legacy"):
        adapters = {**settings.LEGACY_ADAPTERS}
        adapters["database"] = adapters["database"] | {"ADAPTER": ADAPTER}
        settings.LEGACY_ADAPTERS = adapters
        settings.MIGRATION = {"STAGE_CACHE_SECONDS": 3600, "SHADOW_THREADS": 0}
        wrap(monkeypatch)
        no_grace(monkeypatch)
        Migration.redis = redis_client
        options = {"L1_ENABLED": False, "REDIS_BUDGET_MS": 5000}
        Migration.processes = [Process(tiers=make_tiers(**options)) for _ in range(2)]
        yield


def walk(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Migration,
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            phases=[hypothesis.Phase.generate],  # as it was found: to shrink it takes minutes
            suppress_health_check=[*hypothesis.HealthCheck],
        ),
    )


def test_no_move_and_no_fault_loses_an_acknowledged_write() -> None:
    walk(20, 25)


@pytest.mark.soak
def test_no_move_and_no_fault_loses_an_acknowledged_write_in_many_walks() -> None:
    walk(600, 80)


def test_a_repair_leaves_the_mark_of_a_write_that_came_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever put it again has not written yet: if it dies after that, nothing else tells of it."""
    process, session_id = Migration.processes[0], "ws_mwo5wwds_meanwhile"
    database, clear = process.tiers.database, marks.clear
    now = process.tiers.clock.now()
    marks.put(database, session_id, Side.LEGACY, now)

    def overtaken(*given: Any) -> bool:
        assert not in_threads(lambda: marks.put(database, session_id, Side.LEGACY, now))
        return clear(*given)

    monkeypatch.setattr(marks, "clear", overtaken)
    repair(process.tiers, session_id)

    assert marked(session_id) == Side.LEGACY
