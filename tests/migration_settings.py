"""The site's settings for processes of a shop that is being moved, with a test's own figures.

``FAULT_SETTINGS`` may hold more here than in `tests.fault_settings`: MIGRATION, TABLE (new keys of
the legacy table's adapter) and BEAT (task → seconds).
"""

from typing import Any

from tests.fault_settings import *  # noqa: F403  (as Django's settings modules extend one another)
from tests.fault_settings import CELERY_BEAT_SCHEDULE, LEGACY_ADAPTERS, MIGRATION
from tests.fault_settings import _given as given

MIGRATION |= given.get("MIGRATION", {})
LEGACY_ADAPTERS["database"] |= given.get("TABLE", {})
beat: dict[str, Any] = given.get("BEAT", {})
CELERY_BEAT_SCHEDULE |= {
    name: {"task": name, "schedule": seconds, "options": {"expires": 5}}
    for name, seconds in beat.items()
}
