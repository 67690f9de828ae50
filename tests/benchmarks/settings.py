"""The site's settings, with the peers beside it and the bare views under ``bench/``."""

from funnel.settings import *  # noqa: F403  (the site, and a little more)
from funnel.settings import CACHES, DATABASES, SESSIONS_UNIFIED, env

SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
ROOT_URLCONF = "tests.benchmarks.urls"

CACHES["locmem"] = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "OPTIONS": {"MAX_ENTRIES": 100_000},
}
DATABASES["big"] = env.db_url("BENCH_BIG_DATABASE_URL") | {
    key: value for key, value in DATABASES["default"].items() if key not in {"NAME", "TEST"}
}
SESSIONS_UNIFIED["L1_ENABLED"] = env.bool("BENCH_L1", default=True)
