"""How many declines a subject has, and when each leaves the count: one statement for all scopes."""

# ruff: noqa: S608  (our own table and column names; every value is a parameter)

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from funnel.payments.card_testing.models import CardTestingStop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Scope = CardTestingStop.Scope

# Codes of rejections that are the shop's or the gateway's trouble: too many requests, the
# merchant's set-up, the processor. Only what is wrong with a card tells of somebody trying cards.
NOT_THE_PAYERS: Final = frozenset(
    {"301", "400", "410", "411", "420", "421", "430", "440", "441", "460", "461"}
)

_COLUMNS: Final = {Scope.SESSION: "session_id", Scope.ADDRESS: "address", Scope.CARD: "card"}

_CLEARED: Final = (
    "(SELECT cleared_at FROM funnel_cardtestingstop"
    " WHERE scope = '{scope}' AND subject = %({scope})s)"
)
# What the literals repeat are the conditions of the partial indexes. A rejection counts if the
# gateway has answered at all; what a person decided ("not executed") is no decline.
_DECLINED: Final = f"""
SELECT '{{scope}}', settled_at, false FROM funnel_chargeattempt
WHERE {{column}} = %({{scope}})s AND {{column}} <> ''
  AND state IN ('declined', 'rejected') AND resolved_by = ''
  AND (state = 'declined' OR (response <> '{{{{}}}}'
       AND COALESCE(response ->> 'response_code', '') <> ALL(%(not_the_payers)s)))
  AND settled_at > GREATEST(%(since)s, {_CLEARED})
"""
_OPEN: Final = f"""
SELECT '{{scope}}', COALESCE(next_check_at, lease_until), true FROM funnel_chargeattempt
WHERE {{column}} = %({{scope}})s AND state IN ('claimed', 'unknown')
  AND created_at > GREATEST(%(since)s, {_CLEARED})
"""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What counts against one subject.

    Attributes:
        declines: when each was settled.
        asked_at: of each charge that is still open, when its gateway is asked for it (again).

    """

    declines: tuple[datetime, ...] = ()
    asked_at: tuple[datetime, ...] = ()

    @property
    def number(self) -> int:
        """How many count."""
        return len(self.declines) + len(self.asked_at)

    def below(self, limit: int, *, window: timedelta, now: datetime) -> datetime | None:
        """Return when fewer than ``limit`` will count, at the earliest; None: it is so now.

        A decline leaves the count after the window. A charge that is still open may leave it with
        its answer; if that is a decline, the next refusal knows better.
        """
        if self.number < limit:
            return None
        soon = now + timedelta(seconds=1)
        leaving = [each + window for each in self.declines]
        leaving += [max(each, soon) for each in self.asked_at]
        return sorted(leaving)[self.number - limit]


def tallies(subjects: Mapping[Scope, str], *, since: datetime) -> dict[Scope, Tally]:
    """Return what counts against each subject since a moment, or since it was let through again.

    Charges that are still open count for addresses and cards: sessions side by side cannot be
    ahead of the count. A session has one charge a step at a time anyway.
    """
    found: dict[Scope, tuple[list[datetime], list[datetime]]] = {s: ([], []) for s in subjects}
    for scope, moment, is_open in _rows(subjects, since):
        found[Scope(scope)][is_open].append(moment)
    return {
        scope: Tally(declines=tuple(declines), asked_at=tuple(asked_at))
        for scope, (declines, asked_at) in found.items()
    }


def _rows(subjects: Mapping[Scope, str], since: datetime) -> list[tuple[str, datetime, bool]]:
    if not subjects:
        return []
    values: dict[str, Any] = {"since": since, "not_the_payers": sorted(NOT_THE_PAYERS)}
    parts = []
    for scope, subject in subjects.items():
        values[scope.value] = subject
        names = {"scope": scope.value, "column": _COLUMNS[scope]}
        parts.append(_DECLINED.format(**names))
        if scope is not Scope.SESSION:
            parts.append(_OPEN.format(**names))
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), values)
        rows: list[tuple[str, datetime, bool]] = cursor.fetchall()
    return rows
