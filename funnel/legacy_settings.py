"""What the site's settings say of the old shop; they go with `legacy_adapters`, after the cut-over.

Deleting that app, this file and the lines of `funnel.settings` that call it leaves a working site.
"""

from __future__ import annotations

from typing import Any, Final

import environ
from celery.schedules import crontab

env = environ.Env()

LEGACY_DATABASE_URL = env.str("LEGACY_DATABASE_URL", default="")

LEGACY_ADAPTERS: dict[str, dict[str, Any]] = {
    "database": {
        "ADAPTER": "legacy_adapters.database.DatabaseAdapter",
        "ALIAS": "legacy" if LEGACY_DATABASE_URL else "default",
        "TABLE": env.str("LEGACY_SESSION_TABLE", default="funnel_sessions"),
    },
    "cookie": {
        "ADAPTER": "legacy_adapters.cookie.CookieAdapter",
        "SECRETS": env.list("LEGACY_COOKIE_SECRETS", default=[]),
        # The fallback that stood in the old shop's code; whoever read it can sign with it.
        "COMPROMISED_SECRETS": env.list(
            "LEGACY_COMPROMISED_SECRETS", default=["your-secret-key-change-in-production"]
        ),
    },
    "memory_cache": {"ADAPTER": "legacy_adapters.memory_cache.MemoryCacheAdapter"},
    "local_storage": {
        "ADAPTER": "legacy_adapters.local_storage.LocalStorageAdapter",
        "SYNCS_PER_MINUTE": env.int("SYNCS_PER_MINUTE", default=30),
    },
}

# What decides how long a migration takes; the rest of MIGRATION is set where it is needed.
MIGRATION = {
    "STAGE_CACHE_SECONDS": env.float("MIGRATION_STAGE_CACHE_SECONDS", default=1),
    "SHADOW_SAMPLE": env.float("MIGRATION_SHADOW_SAMPLE", default=1),
    "MIN_COMPARISONS": env.int("MIGRATION_MIN_COMPARISONS", default=1000),
    "PARITY_THRESHOLD": env.float("MIGRATION_PARITY_THRESHOLD", default=0.999),
    "MAX_MARK_AGE_SECONDS": env.float("MIGRATION_MAX_MARK_AGE_SECONDS", default=60),
    "UNLISTED_LIFE_SECONDS": {
        store: int(seconds)
        for store, seconds in env.dict(
            "MIGRATION_UNLISTED_LIFE_SECONDS",
            default={"cookie": 1800, "memory_cache": 1800, "local_storage": 86_400},
        ).items()
    },
}

_BEAT: Final = {
    "backfill": {
        "task": "legacy_adapters.run_backfills",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "repair": {
        "task": "legacy_adapters.repair_marked",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "forget-kept-blobs": {
        "task": "legacy_adapters.forget_kept_blobs",
        "schedule": crontab(hour="3", minute="37"),
    },
}


def plug_in(site: dict[str, Any]) -> None:
    """Add the old shop to the names of the site's settings module."""
    apps: list[str] = site["INSTALLED_APPS"]
    apps.insert(apps.index("sessions_unified") + 1, "legacy_adapters")
    site["MIDDLEWARE"].append("legacy_adapters.cookie.middleware.LegacyCookieMiddleware")
    if LEGACY_DATABASE_URL:
        # The old shop's processes need its connections: none is held without use.
        legacy = site["_pooled"](env.db_url("LEGACY_DATABASE_URL"), min_size=0)
        site["DATABASES"]["legacy"] = legacy
    LEGACY_ADAPTERS["local_storage"]["TRUSTED_PROXIES"] = site["FUNNEL"]["TRUSTED_PROXIES"]
    site["SESSIONS_UNIFIED"]["OTHER_COPIES"] = ["legacy_adapters.copies.legacy_copies"]
    manager = env.str("SESSION_MANAGER", default="")
    if manager:
        site["SESSIONS_UNIFIED"]["MANAGER"] = manager
    site["CELERY_BEAT_SCHEDULE"] |= _BEAT
