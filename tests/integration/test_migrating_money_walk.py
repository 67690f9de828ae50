"""Random walks over a session's money while the shop is moved: forth, back, and in slices.

The same walks, and the same books, as where nothing moves.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from legacy_adapters.migration.stages.names import Endpoint, Stage
from sessions_unified import get_manager
from tests.charges import session_of
from tests.integration.test_money_walk import STEPS, Walk, _check, gateway
from tests.migrating import legacy_row, marked, to_stage

if TYPE_CHECKING:
    from collections.abc import Iterator


__all__ = ["gateway"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "legacy"]),
    pytest.mark.usefixtures("gateway", "shop_elsewhere"),
]

WHERE = [each for each in Stage if each is not Stage.COMPLETE]


class MovingWalk(Walk):
    """A walk in a shop that somebody moves meanwhile."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._moving = random.Random(seed)
        with get_manager().lock_session(self.session_id):
            pass  # a row of our own, where the walk looks

    def moves(self) -> None:
        endpoints = self._moving.sample(Endpoint.values, self._moving.choice([1, 2, 5]))
        stage = self._moving.choice(WHERE)
        to_stage(stage, *endpoints, percent=self._moving.choice([100, 100, 50]))
        self.steps.append(f"to {stage}: {', '.join(endpoints)}")

    def violations(self) -> Iterator[str]:
        yield from super().violations()
        session, there = session_of(self.session_id), legacy_row(self.session_id)
        if there is None:
            yield "the old shop has lost it"
        elif not marked(self.session_id) and (
            (there["status"], there["current_step"]) != (session.status, session.current_step)
            or there["transaction_id"] != session.transaction_id
            or sorted(there["upsells_accepted"] or []) != sorted(session.upsells.accepted)
        ):
            yield f"the old shop says {there['status']}/{there['current_step']}"


def walk(seed: int) -> None:
    walked = MovingWalk(seed)
    for _ in range(STEPS):
        if walked._moving.random() < 0.3:
            walked.moves()
        walked.step()
        _check(walked, walked.violations())
    walked.comes_to_rest()
    _check(walked, walked.violations())
    _check(walked, walked.losses())


@pytest.mark.parametrize("seed", range(1))
def test_the_books_add_up_while_the_shop_is_moved(seed: int) -> None:
    walk(seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_the_books_add_up_while_many_shops_are_moved(seed: int) -> None:
    walk(seed)
