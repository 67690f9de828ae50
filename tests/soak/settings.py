"""The site's settings as they are, with an L1 that is full early: so it evicts throughout."""

from funnel.settings import *  # noqa: F403  (the site, and a little less memory)
from funnel.settings import SESSIONS_UNIFIED
from tests.soak.limits import L1_MAX_ENTRIES

SESSIONS_UNIFIED["L1_MAX_ENTRIES"] = L1_MAX_ENTRIES
