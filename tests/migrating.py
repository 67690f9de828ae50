"""A shop that is being moved, for tests: its legacy table, and endpoints at any stage."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections

from legacy_adapters.conf import get_adapter
from legacy_adapters.database import DatabaseAdapter
from legacy_adapters.migration.stages.cache import STAGES
from legacy_adapters.migration.stages.moving import move
from legacy_adapters.migration.stages.names import Endpoint, Stage
from legacy_adapters.models import WriteMark
from sessions_unified.tiers import get_tiers
from tests.legacy import create_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper

MANAGER = "legacy_adapters.migration.MigratingSessionManager"
SECRET = "the old shop's own secret, long enough"


def table() -> DatabaseAdapter:
    """Return the adapter of the shop's table."""
    adapter = get_adapter("database")
    assert isinstance(adapter, DatabaseAdapter)
    return adapter


@contextmanager
def migrating_shop(settings: SettingsWrapper, *, alias: str = "default") -> Iterator[None]:
    """Have the site follow the stages, with a legacy table over ``alias``."""
    adapters = {**settings.LEGACY_ADAPTERS}
    adapters["database"] = {**adapters["database"], "ALIAS": alias, "TABLE": "funnel_sessions"}
    adapters["cookie"] = {**adapters["cookie"], "SECRETS": [SECRET]}
    settings.LEGACY_ADAPTERS = adapters
    settings.MIGRATION = {"STAGE_CACHE_SECONDS": 0, "SHADOW_THREADS": 0}
    settings.SESSIONS_UNIFIED = settings.SESSIONS_UNIFIED | {"MANAGER": MANAGER}
    create_table(table().table)
    try:
        yield
    finally:
        with connections[alias].cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS funnel_sessions")
        STAGES.forget()


def to_stage(stage: Stage | str, *endpoints: str, percent: float = 100) -> None:
    """Bring endpoints to a stage, whatever the gates would say; none named: all of them."""
    for each in endpoints or Endpoint.values:
        move(get_tiers(), Endpoint(each), Stage(stage), percent, actor="tester", reason="a test")
    STAGES.refresh(get_tiers())


def legacy_row(session_id: str) -> dict[str, Any] | None:
    """Return the shop's own row as it is."""
    record = table().peek(session_id)
    return None if record is None else dict(record.data)


def marked(session_id: str) -> str | None:
    """Return the side on which a session is marked."""
    found = WriteMark.objects.filter(pk=session_id).first()
    return None if found is None else found.side
