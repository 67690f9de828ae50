"""How every fault test ends: all faults healed, the tiers of every process agree (promise R25)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sessions_unified.auditing import audit
from sessions_unified.keys import READ, WRITE, create_key
from sessions_unified.models import UnifiedSession
from sessions_unified.tiers import get_tiers
from tests.live_site import Caller

if TYPE_CHECKING:
    from tests.fault_site import FaultSite

RECOVERY_SECONDS = 60
LOOKED_AT = 40  # sessions, of which each process tells what its L1 holds


def recover(*sites: FaultSite) -> float:
    """Heal, and return after how many seconds no process was degraded and no tier disagreed.

    Each process judges its own L1; the auditor compares Redis, the database and its event log.
    """
    for site in sites:
        site.heal()
        site.wait_until_up()
    began = time.monotonic()
    _, key = create_key(f"auditor {began}", [READ, WRITE])
    callers = [
        Caller(base=site.base, headers={"Authorization": f"Api-Key {key}"}) for site in sites
    ]
    live = UnifiedSession.objects.filter(deleted_at=None).order_by("-updated_at")
    ids = list(live.values_list("pk", flat=True)[:LOOKED_AT])
    while problems := [each for caller in callers for each in _problems(caller, ids)]:
        assert time.monotonic() - began < RECOVERY_SECONDS, problems
        time.sleep(0.05)
    while (report := audit(get_tiers(), patience_seconds=0.1)).remaining:
        assert time.monotonic() - began < RECOVERY_SECONDS, report.cases
    return time.monotonic() - began


def _problems(caller: Caller, ids: list[str]) -> list[Any]:
    return [problem for each in ids if (problem := _problem(caller, each)) is not None]


def _problem(caller: Caller, session_id: str) -> Any:
    read = caller.send("GET", f"/api/session/{session_id}")
    if read.status >= 500 or read.headers["Session-Degraded"]:
        return session_id, read.status, read.headers["Session-Degraded"]
    health = caller.send("GET", f"/api/session/{session_id}/validate").json
    return None if health.get("tiersAgree", True) else health
