"""After the last fault: within a minute no tier disagrees, and every process says the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.fault_site import site_environment
from tests.soak.client import Client
from tests.soak.rig import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.soak.ledger import Stored
    from tests.soak.rig import Rig

RECOVERY_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What the auditor found, and when it found nothing more.

    Attributes:
        seconds: from the end of the load until an audit that found nothing had ended.
        report: of the last audit.

    """

    seconds: float
    report: dict[str, Any]


def recover(rig: Rig) -> Recovery:
    """Audit everything until nothing diverges, for `RECOVERY_SECONDS` at most."""
    began = time.monotonic()
    while True:
        report = audit_all(rig)
        seconds = time.monotonic() - began
        if not report["remaining"] or seconds > RECOVERY_SECONDS:
            return Recovery(seconds=round(seconds, 1), report=report)


def audit_all(rig: Rig) -> dict[str, Any]:
    """Run ``manage.py audit_tiers --all``, which repairs nothing."""
    env = site_environment(
        redis_url=rig.valkey.url, database_url=rig.postgres.url, settings={}, **SETTINGS
    )
    done = subprocess.run(
        [sys.executable, "manage.py", "audit_tiers", "--all", "--json"],
        env=env | {"REDIS_BUDGET_MS": "5000", "REDIS_TIMEOUT_MS": "1000"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def disagreements(rig: Rig, stored: Mapping[str, Stored], cookies: Mapping[str, str]) -> list[str]:
    """Ask every process for each session that has a cookie; return where it isn't the database's.

    Answered from L1 where there is a copy: that is what is looked at.
    """
    client = Client(bases=[site.base for site in rig.sites])
    found = []
    for node in range(len(rig.sites)):
        for session, cookie in cookies.items():
            row = stored[session]
            wanted = (404, 0) if row.is_deleted else (200, row.version)
            reply = client.send(node, "GET", f"/api/session/{session}", Cookie=cookie)
            if (reply.status, reply.version) != wanted:
                found.append(f"node {node}: {reply.status} v{reply.version} of {session}: {wanted}")
    client.close()
    return found
