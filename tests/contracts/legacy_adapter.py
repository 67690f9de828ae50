"""The contract of every legacy adapter; the in-memory twin passes the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legacy_adapters.base import LegacyRecord
from legacy_adapters.exceptions import (
    UnreadableRecordError,
    UnsupportedOperationError,
    UnwritableRecordError,
)
from legacy_adapters.fields.reading import kept_of
from legacy_adapters.fields.writing import milliseconds
from sessions_unified.snapshot import Product, SessionSnapshot, Upsells, freeze
from tests.json_values import json_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from legacy_adapters.base import LegacyAdapter

IDS = [f"ws_mwo5wwds_{number:02}" for number in range(12)]
LONG_AGO, LATER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 9, tzinfo=UTC)

# What a shopper may change, and a shop, field by field; every format has a place for some.
CHANGES: dict[str, Any] = {
    "email": "zoë@exämple.org",
    "status": "processing",
    "current_step": "upsell-2",
    "customer": freeze({"firstName": "Zoë", "lastName": "Ng"}),
    "products": (Product(id="LAMP", name="Grow Lamp", price=Decimal("89.10"), quantity=2),),
    "amount": Decimal("178.20"),
    "vault_id": "200200",
    "transaction_id": "300300",
    "upsells": Upsells(accepted=("upsell-1-serum",), declined=("upsell-2-lamp",)),
    "created_at": datetime(2026, 11, 20, 1, 2, 3, 456_000, tzinfo=UTC),
    "updated_at": datetime(2026, 11, 20, 2, 3, 4, 567_000, tzinfo=UTC),
    "expires_at": datetime(2998, 11, 21, 1, 2, 3, 456_000, tzinfo=UTC),
}

# Every subclass has an adapter of its own, and these tests read nothing from its store.
pure = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
)


class AdapterTests(ABC):
    """What a subclass of the contract says of its store: how its adapter is made, how it is filled.

    Attributes:
        holds_several: whether the store can hold several records; a cookie holds one.
        expired_leaves: what the old code changes in a record that it finds past its end: field →
            value; None: it removes it.
        own_times: the record's fields that the store sets by itself when it is written.

    """

    holds_several: ClassVar[bool] = True
    expired_leaves: ClassVar[Mapping[str, Any] | None] = {}
    own_times: ClassVar[frozenset[str]] = frozenset()

    @pytest.fixture
    @abstractmethod
    def adapter(self) -> LegacyAdapter:
        """Return the adapter of an empty store."""

    @abstractmethod
    def put(self, adapter: LegacyAdapter, *records: dict[str, Any]) -> None:
        """Write records into the store as the old shop's code does."""

    @abstractmethod
    def example(self, session_id: str, *, email: str = "ana@example.org") -> dict[str, Any]:
        """Return a good record in the store's own format, of a session that is not past its end."""

    @abstractmethod
    def expired_example(self, session_id: str) -> dict[str, Any]:
        """Return a good record past its end."""

    @abstractmethod
    def broken_example(self, session_id: str) -> dict[str, Any]:
        """Return a record that is found by its id and describes no session."""

    def odd_example(self, session_id: str) -> dict[str, Any]:
        """Return a good record with something that has no place in a session."""
        return {**self.example(session_id), "note": {"from": ["newsletter", 7]}}

    def updated(self, record: dict[str, Any], at: datetime) -> dict[str, Any] | None:
        """Return the record as changed at a moment; None: the format does not say when."""
        return None

    def afterwards(self, adapter: LegacyAdapter) -> LegacyAdapter:
        """Return the adapter that reads what was written: for a browser, its next request's."""
        return adapter

    # Steps that the tests share.

    def fill(self, adapter: LegacyAdapter) -> None:
        self.put(adapter, *(self.example(session_id) for session_id in reversed(IDS)))

    def peeked(self, adapter: LegacyAdapter, session_id: str = IDS[0]) -> LegacyRecord:
        record = adapter.peek(session_id)
        assert record is not None
        return record

    def session_of(self, adapter: LegacyAdapter, record: dict[str, Any]) -> SessionSnapshot:
        self.put(adapter, record)
        return adapter.to_unified(self.peeked(adapter))

    def scanned(self, adapter: LegacyAdapter, **options: Any) -> list[str | None]:
        return [record.id for batch in adapter.scan(**options) for record in batch.records]

    def without_own_times(self, record: LegacyRecord) -> dict[str, Any]:
        said = record.data.items()
        return {
            name: value for name, value in said if value is not None and name not in self.own_times
        }


class ReadingContract(AdapterTests):
    """Reading one record."""

    def test_an_empty_store_has_nothing(self, adapter: LegacyAdapter) -> None:
        assert adapter.health().is_healthy
        assert adapter.peek(IDS[0]) is None
        assert adapter.load(IDS[0]) is None

    def test_what_is_peeked_becomes_its_session(self, adapter: LegacyAdapter) -> None:
        self.put(adapter, self.example(IDS[0], email="søren@exämple.org"))

        record = self.peeked(adapter)

        session = adapter.to_unified(record)
        assert (record.id, session.id, session.version) == (IDS[0], IDS[0], 1)
        assert session.email == "søren@exämple.org"
        assert record.problem is None
        assert adapter.load(IDS[0]) == record

    def test_another_id_is_not_there(self, adapter: LegacyAdapter) -> None:
        self.put(adapter, self.example(IDS[0]))

        assert adapter.peek(IDS[1]) is None

    def test_several_are_peeked_as_each_is_alone(self, adapter: LegacyAdapter) -> None:
        if not adapter.supports_peek_many:
            with pytest.raises(UnsupportedOperationError):
                adapter.peek_many(IDS[:1])
            return
        for session_id in IDS[:2]:
            self.put(adapter, self.odd_example(session_id))

        found = adapter.peek_many([*IDS[:2], "nobody", "not\x00storable"])

        assert found == {each: adapter.peek(each) for each in IDS[:2]}
        assert adapter.peek_many([]) == {}

    def test_to_unified_is_pure(self, adapter: LegacyAdapter) -> None:
        self.put(adapter, self.odd_example(IDS[0]))
        record = self.peeked(adapter)

        assert adapter.to_unified(record) == adapter.to_unified(record)
        assert record == self.peeked(adapter)

    def test_peek_writes_nothing_even_past_the_end(self, adapter: LegacyAdapter) -> None:
        self.put(adapter, self.expired_example(IDS[0]))

        record = self.peeked(adapter)

        assert adapter.is_expired(record)
        assert self.peeked(adapter) == record
        assert adapter.to_unified(record).id == IDS[0]

    def test_load_past_the_end_is_none_and_leaves_what_the_old_code_left(
        self, adapter: LegacyAdapter
    ) -> None:
        self.put(adapter, self.expired_example(IDS[0]))
        before = self.peeked(adapter)

        assert adapter.load(IDS[0]) is None

        after = self.afterwards(adapter).peek(IDS[0])
        if self.expired_leaves is None:
            assert after is None
        else:
            assert after is not None
            left = self.without_own_times(before) | self.expired_leaves
            assert self.without_own_times(after) == left
        assert self.afterwards(adapter).load(IDS[0]) is None

    def test_the_digest_changes_exactly_with_the_record(self, adapter: LegacyAdapter) -> None:
        digests = []
        for email in ("a@example.org", "a@example.org", "b@example.org", "a@example.org"):
            self.put(adapter, self.example(IDS[0], email=email))
            digests.append(self.peeked(adapter).digest)

        assert digests[0] == digests[1] == digests[3] != digests[2]

    def test_a_record_without_sense_is_unreadable(self, adapter: LegacyAdapter) -> None:
        self.put(adapter, self.broken_example(IDS[0]))

        with pytest.raises(UnreadableRecordError) as caught:
            adapter.to_unified(self.peeked(adapter))

        assert caught.value.reason

    @pure
    @given(data=st.data())
    def test_any_record_is_read_or_unreadable(
        self, adapter: LegacyAdapter, data: st.DataObject
    ) -> None:
        fields = self.odd_example(IDS[0])
        odd = data.draw(st.dictionaries(st.sampled_from(sorted(fields)), json_values, max_size=3))
        record = LegacyRecord.of(IDS[0], fields | odd)

        try:
            found: object = adapter.to_unified(record)
        except UnreadableRecordError as exc:
            found = exc.reason

        assert found
        assert isinstance(found, SessionSnapshot | str)
        assert isinstance(adapter.is_expired(record), bool)


class RequestContract(AdapterTests):
    """What a browser brought."""

    def test_what_the_request_brought_is_present(self, adapter: LegacyAdapter) -> None:
        if not adapter.needs_request:
            with pytest.raises(UnsupportedOperationError):
                adapter.present()
            return
        assert adapter.present() == ()
        ids = IDS[:3] if self.holds_several else IDS[:1]
        self.put(adapter, *(self.example(session_id) for session_id in ids))

        records = adapter.present()

        assert sorted(record.id or "" for record in records) == ids
        assert all(record == adapter.peek(record.id or "") for record in records)


class ScanContract(AdapterTests):
    """Listing the store; where it cannot be listed, saying so."""

    @pytest.fixture
    def listed(self, adapter: LegacyAdapter) -> LegacyAdapter:
        if not adapter.supports_scan:
            pytest.skip("this store cannot be listed")
        return adapter

    def test_a_store_that_cannot_be_listed_says_so(self, adapter: LegacyAdapter) -> None:
        if adapter.supports_scan:
            assert self.scanned(adapter) == []
            assert adapter.count() == 0
            assert adapter.boundaries(4) == ()
            return
        for operation in (adapter.scan, adapter.count, lambda: adapter.boundaries(2)):
            with pytest.raises(UnsupportedOperationError, match="'"):
                operation()

    @pytest.mark.parametrize("batch_size", [1, 5, 6, 12, 500])
    def test_a_scan_yields_every_record_once_in_order(
        self, listed: LegacyAdapter, batch_size: int
    ) -> None:
        self.fill(listed)

        batches = list(listed.scan(batch_size=batch_size))

        assert [record.id for batch in batches for record in batch.records] == IDS
        assert all(1 <= len(batch.records) <= batch_size for batch in batches)
        assert [batch.cursor for batch in batches] == [batch.records[-1].id for batch in batches]
        assert listed.count() == len(IDS)

    def test_a_scan_goes_on_after_any_cursor(self, listed: LegacyAdapter) -> None:
        self.fill(listed)

        for batch in listed.scan(batch_size=5):
            rest = self.scanned(listed, after=batch.cursor, batch_size=5)
            assert rest == [each for each in IDS if each > (batch.cursor or "")]

    @pytest.mark.parametrize("after", [None, IDS[0], IDS[5]])
    @pytest.mark.parametrize("until", [IDS[0], IDS[6], "ws_z"])
    def test_a_scan_ends_with_its_last_key(
        self, listed: LegacyAdapter, after: str | None, until: str
    ) -> None:
        self.fill(listed)

        found = self.scanned(listed, after=after, until=until, batch_size=2)

        assert found == [each for each in IDS if (after or "") < each <= until]

    @pytest.mark.parametrize("parts", [1, 2, 5, 12, 40])
    def test_boundaries_cut_the_store_into_slices_that_cover_it(
        self, listed: LegacyAdapter, parts: int
    ) -> None:
        self.fill(listed)

        keys = listed.boundaries(parts)

        slices = [
            self.scanned(listed, after=after, until=until)
            for after, until in zip([None, *keys], [*keys, None], strict=True)
        ]
        assert [session_id for each in slices for session_id in each] == IDS
        assert len(slices) <= parts
        assert max(map(len, slices)) <= -(-len(IDS) // parts)

    def test_a_scan_is_not_confused_by_writes_beside_it(self, listed: LegacyAdapter) -> None:
        self.fill(listed)
        scan = listed.scan(batch_size=5)
        first = next(scan)

        self.put(
            listed,
            *(self.example("ws_0_a"), self.example("ws_z_a")),
            self.example(IDS[0], email="b@example.org"),
        )

        rest = [record.id for batch in scan for record in batch.records]
        assert [record.id for record in first.records] == IDS[:5]
        assert rest == [*IDS[5:], "ws_z_a"]

    def test_a_scan_finds_what_peek_finds_and_writes_nothing(self, listed: LegacyAdapter) -> None:
        self.put(listed, self.expired_example(IDS[0]), self.odd_example(IDS[1]))
        peeked = tuple(self.peeked(listed, session_id) for session_id in IDS[:2])

        (batch,) = listed.scan()

        assert batch.records == peeked
        assert tuple(self.peeked(listed, session_id) for session_id in IDS[:2]) == peeked

    def test_what_makes_no_sense_does_not_end_a_scan(self, listed: LegacyAdapter) -> None:
        self.put(listed, self.broken_example(IDS[0]), self.example(IDS[1]))

        (batch,) = listed.scan()

        with pytest.raises(UnreadableRecordError):
            listed.to_unified(batch.records[0])
        assert listed.to_unified(batch.records[1]).id == IDS[1]

    def test_what_was_not_changed_since_is_left_out(self, listed: LegacyAdapter) -> None:
        says_when = self.updated(self.example(IDS[0]), LONG_AGO) is not None
        moments = dict.fromkeys(IDS[::2], LONG_AGO)
        for session_id in IDS:
            record = self.example(session_id)
            self.put(listed, self.updated(record, moments.get(session_id, LATER)) or record)

        found = self.scanned(listed, since=LATER, batch_size=2)

        expected = IDS[1::2] if says_when else IDS
        assert found == expected
        assert listed.count(since=LATER) == len(expected)
        assert (
            self.scanned(listed, since=LATER, after=expected[1], until=expected[3])
            == (expected[2:4])
        )
        if says_when:
            assert self.scanned(listed, since=LATER + timedelta(seconds=1)) == []


class WritingContract(AdapterTests):
    """The way back; for a store that is only read, saying so."""

    @pytest.fixture
    def written(self, adapter: LegacyAdapter) -> LegacyAdapter:
        if not adapter.supports_write:
            pytest.skip("this store is only read")
        return adapter

    def same(self, adapter: LegacyAdapter, one: SessionSnapshot, other: SessionSnapshot) -> None:
        """Assert that both say the same in the fields that the format has a place for."""
        for name in sorted(adapter.fields):
            assert _plain(getattr(one, name)) == _plain(getattr(other, name)), name

    def test_a_store_that_is_only_read_says_so(self, adapter: LegacyAdapter) -> None:
        if adapter.supports_write:
            pytest.skip("this store can be written")
        with pytest.raises(UnsupportedOperationError, match="'"):
            adapter.save(LegacyRecord.of(IDS[0], self.example(IDS[0])))
        with pytest.raises(UnsupportedOperationError, match="'"):
            adapter.delete(IDS[0])

    @pytest.mark.parametrize("kind", ["example", "odd_example", "expired_example"])
    def test_an_unchanged_session_leaves_its_record_saying_the_same(
        self, written: LegacyAdapter, kind: str
    ) -> None:
        self.put(written, getattr(self, kind)(IDS[0]))
        before = self.peeked(written)

        record = written.from_unified(written.to_unified(before), before=before)
        written.save(record)

        assert record.digest == before.digest
        after = self.peeked(self.afterwards(written))
        assert self.without_own_times(after) == self.without_own_times(before)
        if not self.own_times:
            assert after.digest == before.digest

    def test_a_new_record_says_what_the_session_says(self, written: LegacyAdapter) -> None:
        session = self.session_of(written, self.example(IDS[0]))
        changed = msgspec.structs.replace(session, id=IDS[1], **self.changes(written))

        written.save(written.from_unified(changed))

        after = self.afterwards(written)
        self.same(written, after.to_unified(self.peeked(after, IDS[1])), changed)

    def test_each_changed_field_is_written_and_the_others_stay(
        self, written: LegacyAdapter
    ) -> None:
        self.put(written, self.example(IDS[0]))
        before = self.peeked(written)
        session = written.to_unified(before)

        changes = {
            name: value
            for name, value in self.changes(written).items()
            if getattr(session, name) != value
        }
        assert changes
        for name, value in changes.items():
            changed = msgspec.structs.replace(session, **{name: value})

            record = written.from_unified(changed, before=before)

            assert record.digest != before.digest, name
            self.same(written, written.to_unified(record), changed)

    def test_a_changed_session_is_saved(self, written: LegacyAdapter) -> None:
        self.put(written, self.odd_example(IDS[0]))
        before = self.peeked(written)
        session = written.to_unified(before)
        changes = {**self.changes(written), "payment_token": None}  # none past its use
        changed = msgspec.structs.replace(session, **changes)

        written.save(written.from_unified(changed, before=before))

        after = self.afterwards(written)
        found = after.to_unified(self.peeked(after))
        own = {name: getattr(changed, name) for name in ("updated_at",) if self.own_times}
        self.same(written, msgspec.structs.replace(found, **own), changed)
        kept, still_kept = kept_of(session, written.store), kept_of(found, written.store)
        assert still_kept
        assert still_kept.items() <= kept.items()  # less what the changes took the place of

    def test_what_was_kept_comes_back_without_the_record(self, written: LegacyAdapter) -> None:
        session = self.session_of(written, self.odd_example(IDS[0]))
        assert kept_of(session, written.store)

        again = written.to_unified(written.from_unified(session))

        assert kept_of(again, written.store) == kept_of(session, written.store)
        self.same(written, again, session)

    def test_a_deleted_record_is_gone(self, written: LegacyAdapter) -> None:
        self.put(written, self.example(IDS[0]))

        assert written.delete(IDS[0]) is True

        after = self.afterwards(written)
        assert after.peek(IDS[0]) is None
        assert after.delete(IDS[0]) is False

    def test_writing_one_leaves_the_others(self, written: LegacyAdapter) -> None:
        if not self.holds_several:
            pytest.skip("this store holds one record")
        self.put(written, self.example(IDS[0]), self.example(IDS[1]), self.example(IDS[2]))
        others = [self.peeked(written, session_id) for session_id in IDS[1:3]]
        session = written.to_unified(self.peeked(written))

        written.save(written.from_unified(msgspec.structs.replace(session, email="z@example.org")))
        written.delete(IDS[2])

        after = self.afterwards(written)
        assert self.peeked(after, IDS[1]) == others[0]
        assert after.to_unified(self.peeked(after)).email == "z@example.org"

    @pure
    @given(data=st.data())
    def test_any_session_is_written_as_it_is_or_refused(
        self, written: LegacyAdapter, data: st.DataObject
    ) -> None:
        good = self.odd_example(IDS[0])
        names = st.sampled_from(sorted(set(good) - {"id"}))
        odd = data.draw(st.dictionaries(names, json_values, max_size=3))
        before = data.draw(st.sampled_from([None, LegacyRecord.of(IDS[0], good | odd)]))
        session = msgspec.structs.replace(
            written.to_unified(LegacyRecord.of(IDS[0], good)),
            email=data.draw(st.sampled_from([None, "", "ana@example.org", "no address"])),
            current_step=data.draw(st.sampled_from(["checkout", "upsell-1", "elsewhere"])),
            metadata=freeze({"legacy": {str(written.store): data.draw(json_values)}}),
        )

        try:
            record = written.from_unified(session, before=before)
        except UnwritableRecordError:
            return
        assert written.to_unified(record).email == session.email

    def changes(self, adapter: LegacyAdapter) -> dict[str, Any]:
        """Return changes of the fields that the format has a place for."""
        return {name: value for name, value in CHANGES.items() if name in adapter.fields}


class LegacyAdapterContract(ReadingContract, RequestContract, ScanContract, WritingContract):
    """All of it: what an adapter's tests subclass."""


def _plain(value: Any) -> Any:
    """Return what is compared: dates to the millisecond, as every format holds them."""
    if isinstance(value, datetime):
        return milliseconds(value)
    if isinstance(value, Upsells):
        return (value.accepted, value.declined)
    return value
