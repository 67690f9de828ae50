"""A process of a shop that is being moved which kills itself in the midst of a write.

It reads orders from its input, a line of JSON each, carries each out in a child of its own, and
answers with the child's end: -9 if it was killed where the order said.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import django


def main() -> None:
    """Carry out orders until there are no more."""
    django.setup()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _carry_out(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _carry_out(order: dict[str, Any]) -> None:
    import pytest

    from legacy_adapters.migration.repair.copying import repair
    from sessions_unified import get_manager
    from sessions_unified.tiers import get_tiers
    from tests.charges import pay
    from tests.migrating_model import FAULTS, wrap

    wrap(pytest.MonkeyPatch())
    FAULTS.point, FAULTS.is_deadly = order["point"], True
    FAULTS.die = lambda: os.kill(os.getpid(), signal.SIGKILL)
    if order["changes"] is None:
        repair(get_tiers(), order["session"])
    elif order["changes"] == "pay":
        pay(order["session"])
    else:
        get_manager("session.detail").update_session(order["session"], order["changes"])
    os._exit(0)


if __name__ == "__main__":
    main()
