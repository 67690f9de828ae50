"""Live round trips to everything that sessions need, each with what to do where one fails.

``manage.py doctor`` prints what `run` finds. An app may append checks of its own to `CHECKS` in
its ``AppConfig.ready``.
"""

from __future__ import annotations

from typing import Final

from sessions_unified.doctor import channel, configuration, database, keys, redis, tasks, waiting
from sessions_unified.doctor.findings import Check, Finding, Status, failed, ok, run, warned

__all__ = ["CHECKS", "Check", "Finding", "Status", "failed", "ok", "run", "warned"]

CHECKS: Final[list[Check]] = [
    *configuration.CHECKS,
    *database.CHECKS,
    *keys.CHECKS,
    *redis.CHECKS,
    *channel.CHECKS,
    *tasks.CHECKS,
    *waiting.CHECKS,
]
