"""The look at the end: what was acknowledged must be what the site says."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from funnel.simulation.client import Browser
from funnel.simulation.ledger import Problem
from funnel.simulation.shopper import payments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from funnel.simulation.client import Answer, Site
    from funnel.simulation.ledger import Facts

_AGAIN_SECONDS: Final = 0.5


def contradictions(
    site: Site, sessions: Iterable[Facts], *, threads: int, settle_seconds: float
) -> list[Problem]:
    """Return what the site says otherwise, once it has had time to settle."""
    until = time.monotonic() + settle_seconds
    left = list(sessions)
    while True:
        with ThreadPoolExecutor(threads) as pool:
            looked = list(pool.map(lambda facts: (facts, problems_of(site, facts)), left))
        left = [facts for facts, found in looked if found]
        if not left or time.monotonic() >= until:
            return [problem for _, found in looked for problem in found]
        time.sleep(_AGAIN_SECONDS)


def problems_of(site: Site, facts: Facts) -> list[Problem]:
    """Ask for one session, and return what contradicts its facts."""
    answer = Browser(site, facts.cookies).send("GET", f"/api/session/{facts.session_id}")
    if facts.is_deleted is not False:
        return _deleted(facts, answer)
    if answer.status == 410 and facts.is_over():  # noqa: PLR2004
        return []
    if not answer.is_ok:
        says = f"it is not there: {answer.status} {answer.code}".strip()
        return [Problem(kind="lost", session_id=facts.session_id, says=says)]
    found = [
        Problem(kind="lost", session_id=facts.session_id, says=says)
        for says in facts.contradictions(answer.body)
    ]
    paid = [transaction for transaction in payments(answer.body).values() if transaction]
    if len(set(paid)) < len(paid):
        says = f"one transaction pays for two things: {sorted(paid)}"
        found.append(Problem(kind="doubled", session_id=facts.session_id, says=says))
    return found


def _deleted(facts: Facts, answer: Answer) -> list[Problem]:
    is_gone = answer.status in {401, 404}
    if is_gone or (facts.is_deleted is None and answer.is_ok):
        return []
    says = f"it was deleted, and the site answers {answer.status}"
    return [Problem(kind="revived", session_id=facts.session_id, says=says)]
