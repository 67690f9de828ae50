"""The migration's settings: one typed view of ``settings.MIGRATION``, read live."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, kw_only=True)
class Conf:
    """What a site may set in ``MIGRATION``; every key is optional.

    Attributes:
        PRIMARY: the legacy store (a key of ``LEGACY_ADAPTERS``) that holds the sessions as a
            whole: it is written with every change. None: the first that can be listed and written.
        STAGE_CACHE_SECONDS: how old what a process knows of the stages may be, for reads.
        PROCESS_TIMEOUT_SECONDS: a process that has not reported for so long is taken for gone.
        SHADOW_THREADS: threads of one process that compare.
        SHADOW_QUEUE: comparisons that may wait in one process; more are shed, and counted.
        SHADOW_SAMPLE: the part of the reads that is compared, 0 to 1.
        SHADOW_DEADLINE_SECONDS: a comparison that has waited longer is shed.
        RECHECK_SECONDS: after how long a difference is looked at again: it may have been a write
            under way.
        MIN_COMPARISONS: comparisons of an endpoint before a gate looks at their outcome.
        PARITY_THRESHOLD: what the lower bound of the agreeing part must exceed, 0 to 1.
        PARITY_MAX_AGE_SECONDS: older comparisons do not count.
        CONFIDENCE: of the lower bound, one-sided, 0 to 1.
        MAX_MARK_AGE_SECONDS: a gate is shut while a session has waited longer for its repair.
        UNLISTED_LIFE_SECONDS: legacy store → how long a session lives in it, for those that the
            server cannot list; a store that is not named: a day.
        DEMOTION_WINDOW_SECONDS: what demotion looks back on.
        DEMOTE_AFTER_MISMATCHES: confirmed differences of an endpoint in the window that demote it.
        DEMOTE_AFTER_ERRORS: failed reads of the unified side in the window that demote, if they
            are also more than `DEMOTE_ERROR_RATE` of all.
        DEMOTE_ERROR_RATE: see above, 0 to 1.
        DEMOTE_LATENCY_RATIO: the unified side's p95 over the legacy side's that demotes; 0: never.
        DEMOTE_LATENCY_MIN_MS: a p95 of the unified side below this never demotes.
        REPAIR_DELAY_SECONDS: how long a worker leaves a write under way alone.
        REPAIR_BACKOFF_SECONDS: the first wait after a failed repair; doubled each time.
        REPAIR_MAX_ATTEMPTS: failed repairs after which a session waits for a person.

    """

    PRIMARY: str | None = None
    STAGE_CACHE_SECONDS: float = 1
    PROCESS_TIMEOUT_SECONDS: float = 15
    SHADOW_THREADS: int = 2
    SHADOW_QUEUE: int = 64
    SHADOW_SAMPLE: float = 1.0
    SHADOW_DEADLINE_SECONDS: float = 2
    RECHECK_SECONDS: float = 2
    MIN_COMPARISONS: int = 1000
    PARITY_THRESHOLD: float = 0.999
    PARITY_MAX_AGE_SECONDS: int = 24 * 3600
    CONFIDENCE: float = 0.95
    MAX_MARK_AGE_SECONDS: float = 60
    UNLISTED_LIFE_SECONDS: dict[str, int] = field(
        default_factory=lambda: {
            "cookie": 30 * 60,
            "memory_cache": 30 * 60,
            "local_storage": 24 * 3600,
        }
    )
    DEMOTION_WINDOW_SECONDS: int = 300
    DEMOTE_AFTER_MISMATCHES: int = 5
    DEMOTE_AFTER_ERRORS: int = 20
    DEMOTE_ERROR_RATE: float = 0.01
    DEMOTE_LATENCY_RATIO: float = 5
    DEMOTE_LATENCY_MIN_MS: float = 100
    REPAIR_DELAY_SECONDS: float = 5
    REPAIR_BACKOFF_SECONDS: float = 5
    REPAIR_MAX_ATTEMPTS: int = 12


KNOWN_KEYS = frozenset(spec.name for spec in fields(Conf))


@cache
def get_conf() -> Conf:
    """Return the settings as they are now; ``override_settings`` is seen.

    Raises:
        ImproperlyConfigured: a key is not one of `Conf`'s.

    """
    given: dict[str, Any] = getattr(settings, "MIGRATION", {})
    unknown = sorted(set(given) - KNOWN_KEYS)
    if unknown:
        raise ImproperlyConfigured(f"MIGRATION has unknown keys: {', '.join(unknown)}.")
    return Conf(**given)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "MIGRATION":
        get_conf.cache_clear()


setting_changed.connect(_forget, dispatch_uid="legacy_adapters.migration.conf")
