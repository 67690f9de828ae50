"""The site's settings with a test's own delays: for the web processes and workers of fault tests.

``FAULT_SETTINGS`` is JSON: setting → its new keys, and POOL → the database pool's options.
"""

import json
import os

from funnel.settings import *  # noqa: F403  (as Django's settings modules extend one another)
from funnel.settings import CELERY_BEAT_SCHEDULE, DATABASES, FUNNEL, SESSIONS_UNIFIED

_given = json.loads(os.environ.get("FAULT_SETTINGS", "{}"))
SESSIONS_UNIFIED |= _given.get("SESSIONS_UNIFIED", {})
FUNNEL |= _given.get("FUNNEL", {})
DATABASES["default"]["OPTIONS"]["pool"] |= _given.get("POOL", {})
CELERY_BROKER_TRANSPORT_OPTIONS = _given.get("BROKER", {})
CELERY_BEAT_SCHEDULE.clear()  # the test says what runs

if "FAULT_CLOCK_SECONDS" in os.environ:
    from tests.fault_clock import shift_wall_clock

    shift_wall_clock(float(os.environ["FAULT_CLOCK_SECONDS"]))
