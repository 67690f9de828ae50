"""One verification: read the store, compare, look again at what differs, and count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from legacy_adapters.verifying.findings import DISAGREEMENTS, Finding, Kind, Report
from legacy_adapters.verifying.gone import Imports, Ledger, suspects
from legacy_adapters.verifying.looking import look_at
from legacy_adapters.verifying.sampling import sample
from legacy_adapters.verifying.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from legacy_adapters.base import LegacyAdapter, LegacyRecord
    from legacy_adapters.verifying.scope import Scope
    from sessions_unified.tiers import Tiers


def verify(
    tiers: Tiers,
    adapter: LegacyAdapter,
    scope: Scope,
    *,
    recheck_seconds: float = 2,
    shown: int = 20,
    advance: Callable[[int], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Compare the store's records with the sessions here. Writes nothing on either side.

    What differs is looked at again on both sides ``recheck_seconds`` later: a shopper may be
    between two writes. Only what differs then too counts. Memory stays flat: ``shown`` findings
    of each kind are kept, the rest is counted. ``advance`` is told how many more records are read.

    Raises:
        SourceUnavailableError: the legacy store stopped answering.
        DatabaseUnavailableError: the sessions' own database did.
        SealedValueError: what is encrypted at rest here cannot be opened.

    """
    run = _Run(tiers, adapter, scope, recheck_seconds=recheck_seconds, shown=shown, sleep=sleep)
    for records in run.batches():
        run.compare(records)
        advance(len(records))
    run.look_again(everything=True)
    if scope.is_full:
        run.find_gone()
    return run.report


class _Run:
    """The state of one verification."""

    def __init__(
        self,
        tiers: Tiers,
        adapter: LegacyAdapter,
        scope: Scope,
        *,
        recheck_seconds: float,
        shown: int,
        sleep: Callable[[float], None],
    ) -> None:
        self._tiers = tiers
        self._adapter = adapter
        self._scope = scope
        self._recheck_seconds = recheck_seconds
        self._sleep = sleep
        self._waiting = Waiting(seconds=recheck_seconds, size=scope.batch_size, sleep=sleep)
        self._imports = Imports(source=adapter.source, alias=tiers.database.alias)
        self._seen = Ledger()
        self.report = Report(shown=shown)

    def batches(self) -> Iterable[Sequence[LegacyRecord]]:
        """Return what is to be compared."""
        scope = self._scope
        if scope.sample is not None:
            return sample(self._adapter, scope.sample, seed=scope.seed)
        found = self._adapter.scan(since=scope.since, batch_size=scope.batch_size)
        return (batch.records for batch in found)

    def compare(self, records: Sequence[LegacyRecord]) -> None:
        """Look at some records; what differs waits for a second look."""
        began = time.monotonic()
        for finding in look_at(self._tiers, self._adapter, records):
            if finding.kind in DISAGREEMENTS and finding.id is not None:
                self._waiting.add(finding.id)
            else:
                self.report.add(finding)
        if self._scope.is_full:
            self._seen.add(self._imports.among(each.id for each in records if each.id))
        # Never in a hurry: as long at rest as at work, for the old shop's database too.
        self._sleep(time.monotonic() - began)
        self.look_again()

    def look_again(self, *, everything: bool = False) -> None:
        """Give a second look to what has waited long enough, or to ``everything``."""
        while due := self._waiting.due(everything=everything):
            for finding in self._second_look(due):
                self.report.add(finding)

    def find_gone(self) -> None:
        """Find the sessions that came from the store and are no longer in it."""
        size = self._scope.batch_size
        # As many as the old shop's cleanup takes: they wait together, not a moment each batch.
        waiting = Waiting(seconds=self._recheck_seconds, size=size, sleep=self._sleep)
        for ids in suspects(self._imports, self._seen, batch_size=size):
            began = time.monotonic()
            for session_id in self._gone_now(ids):
                waiting.add(session_id)
            self._sleep(time.monotonic() - began)
            self._confirm_gone(waiting)
        self._confirm_gone(waiting, everything=True)

    def _confirm_gone(self, waiting: Waiting, *, everything: bool = False) -> None:
        while due := waiting.due(everything=everything):
            for session_id in self._gone_now(due):
                self.report.add(Finding(id=session_id, kind=Kind.GONE))

    def _gone_now(self, session_ids: Sequence[str]) -> list[str]:
        here = self._tiers.database.peek_many(session_ids) if session_ids else {}
        return [each for each in sorted(here) if self._adapter.peek(each) is None]

    def _second_look(self, session_ids: Sequence[str]) -> Iterable[Finding]:
        found = {each: self._adapter.peek(each) for each in session_ids}
        records = [record for record in found.values() if record is not None]
        for finding in look_at(self._tiers, self._adapter, records):
            agrees = finding.kind is Kind.AGREES
            yield Finding(id=finding.id, kind=Kind.TRANSIENT) if agrees else finding
        vanished = [each for each, record in found.items() if record is None]
        self._seen.remove(self._imports.among(vanished))
        for session_id in vanished:
            yield Finding(id=session_id, kind=Kind.TRANSIENT)
