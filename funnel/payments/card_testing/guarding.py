"""The guard in T1: no charge for a session, address or card that had too many declined."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import connection

from funnel.conf import get_conf
from funnel.exceptions import TooManyDeclinesError
from funnel.payments.card_testing.counting import Scope, tallies
from funnel.payments.card_testing.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from funnel.conf import Conf
    from funnel.payments.card_testing.subjects import Subjects

# Seeds of the advisory locks, so that an address and a card share none with each other or with
# anything else. Everybody takes the session's lock first, then the address's, then the card's.
_LOCK_SEEDS: Final = {Scope.ADDRESS: 7_265_101, Scope.CARD: 7_265_102}


def guard(subjects: Subjects, now: datetime) -> None:
    """Refuse a charge whose session, address or card has had too many declined; inside T1.

    Until the transaction's end nobody else charges from that address or with that card, so that
    the next one counts this charge too.

    Raises:
        TooManyDeclinesError: with when to come again.

    """
    conf = get_conf()
    limits = _limits(conf)
    watched = {scope: subjects.of(scope) for scope in limits if subjects.of(scope)}
    _lock(watched)
    window = timedelta(seconds=conf.DECLINE_WINDOW_SECONDS)
    refusals = []
    for scope, tally in tallies(watched, since=now - window).items():
        until = tally.below(limits[scope], window=window, now=now)
        if until is not None:
            refusals.append(
                Refusal(scope=scope, subject=watched[scope], declines=tally.number, until=until)
            )
    if refusals:
        seconds = max((each.until - now).total_seconds() for each in refusals)
        raise TooManyDeclinesError(retry_after=max(1, math.ceil(seconds)), refusals=refusals)


def _limits(conf: Conf) -> dict[Scope, int]:
    limits = {
        Scope.SESSION: conf.DECLINES_PER_SESSION,
        Scope.ADDRESS: conf.DECLINES_PER_ADDRESS,
        Scope.CARD: conf.DECLINES_PER_CARD,
    }
    return {scope: limit for scope, limit in limits.items() if limit > 0}


def _lock(watched: Mapping[Scope, str]) -> None:
    """Take the locks of address and card, in this order, in one round trip."""
    keys = [(watched[scope], seed) for scope, seed in _LOCK_SEEDS.items() if scope in watched]
    if not keys:
        return
    calls = ", ".join(["pg_advisory_xact_lock(hashtextextended(%s, %s))"] * len(keys))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {calls}", [each for key in keys for each in key])
