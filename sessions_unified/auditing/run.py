"""One audit: compare batch by batch, look twice at what differs, and repair it if asked to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sessions_unified.auditing.choosing import BATCH_SIZE
from sessions_unified.auditing.comparing import Comparison
from sessions_unified.auditing.report import CASES_KEPT, AuditReport
from sessions_unified.metrics import AUDITED
from sessions_unified.publishing import publish_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sessions_unified.auditing.comparing import Suspect
    from sessions_unified.auditing.report import Divergence
    from sessions_unified.tiers import Tiers

# After a batch it rests for as long as the batch took: an audit is never in a hurry.
_REST_SHARE: Final = 1.0

_Key = tuple[str, str, str]


class AuditRun:
    """The state of one audit: what it has found, and what it has to look at again."""

    def __init__(
        self,
        tiers: Tiers,
        *,
        repairs: bool,
        patience_seconds: float,
        advance: Callable[[int], None],
    ) -> None:
        self._tiers = tiers
        self._repairs = repairs
        self._patience_seconds = patience_seconds
        self._advance = advance
        self._suspects: dict[_Key, Suspect] = {}
        self._confirmed: set[_Key] = set()
        self._report = AuditReport()

    def compare_all(
        self,
        batches: Iterable[Sequence[str]],
        *,
        in_redis: bool = True,
        counts_sessions: bool = True,
    ) -> None:
        """Look at them batch by batch; what differs is looked at again later."""
        began = time.monotonic()
        for ids in batches:
            if ids:
                self._compare(ids, in_redis=in_redis, counts_sessions=counts_sessions)
            if len(self._suspects) >= BATCH_SIZE:
                self._look_again()
            time.sleep((time.monotonic() - began) * _REST_SHARE)
            began = time.monotonic()

    def finish(self) -> AuditReport:
        """Look at the last suspects again, and return what was found."""
        self._look_again()
        return self._report

    def _compare(self, ids: Sequence[str], *, in_redis: bool, counts_sessions: bool) -> None:
        comparison = Comparison(self._tiers, ids, in_redis=in_redis)
        self._suspects |= {_key(each.divergence): each for each in comparison.suspects}
        self._report.copies += comparison.copies
        if counts_sessions:
            AUDITED.inc(comparison.sessions)
            self._report.sessions += comparison.sessions
            self._report.unknown += comparison.unknown
            self._advance(len(ids))

    def _look_again(self) -> None:
        before, self._suspects = self._suspects, {}
        if not before:
            return
        time.sleep(self._patience_seconds)
        confirmed = []
        for key, suspect in self._now(before).items():
            is_same = key in before and before[key].evidence == suspect.evidence
            if is_same and key not in self._confirmed:
                self._confirmed.add(key)
                confirmed.append(suspect.divergence)
        for divergence in confirmed:
            self._count(divergence)
        if self._repairs:
            self._repair([each for each in confirmed if each.tier != "database"])

    def _now(self, keys: dict[_Key, Suspect]) -> dict[_Key, Suspect]:
        ids = list(dict.fromkeys(session_id for session_id, _, _ in keys))
        return {_key(each.divergence): each for each in Comparison(self._tiers, ids).suspects}

    def _count(self, divergence: Divergence) -> None:
        self._report.counts[divergence.tier, divergence.kind] += 1
        if len(self._report.cases) < CASES_KEPT:
            self._report.cases.append(divergence)

    def _repair(self, found: Sequence[Divergence]) -> None:
        """Drop what diverges from the caches, everywhere, and see whether it has gone."""
        if not found:
            return
        # As if a later version had come: other processes drop only what is older than that.
        publish_gone(
            self._tiers,
            {each.session_id: max(each.holds or 0, each.truth or 0) + 1 for each in found},
        )
        left = {
            (each.divergence.session_id, each.divergence.tier)
            for each in Comparison(self._tiers, [each.session_id for each in found]).suspects
        }
        self._report.repaired += sum((each.session_id, each.tier) not in left for each in found)


def _key(divergence: Divergence) -> _Key:
    return divergence.session_id, divergence.tier, divergence.kind
