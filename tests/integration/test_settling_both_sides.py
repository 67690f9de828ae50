"""What sweeps settle and purge reaches the old shop, where ours is the side that is written first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from legacy_adapters.migration.repair import working
from sessions_unified.exceptions import SessionExpiredError
from sessions_unified.manager import UnifiedSessionManager
from sessions_unified.models import UnifiedSession
from sessions_unified.signals import sessions_swept
from sessions_unified.upkeep import sweeping
from tests.charges import paid
from tests.managing import cleaner
from tests.migrating import legacy_row, marked, migrating_shop, to_stage
from tests.repairs import all_marks, created, differences, here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

    from sessions_unified.testing import FrozenClock
    from sessions_unified.tiers import Tiers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gateway")]

CLOCK = "tests.clocks.LateClock"


@pytest.fixture(autouse=True)
def shop(db: None, settings: SettingsWrapper) -> Iterator[None]:
    with migrating_shop(settings):
        yield
