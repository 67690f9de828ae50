#!/usr/bin/env python
"""Django's commands for this site; while `make demo` runs, they work on the demo."""

from __future__ import annotations

import os
import runpy
import sys

from django.core.management import execute_from_command_line

from funnel.local.env_file import use_running_demo

REQUIRED = ("SECRET_KEY", "SESSION_TOKEN_KEYS", "DATABASE_URL", "REDIS_URL")
# For those who integrate a shop of their own, and have no settings of this one.
NEEDS_NO_SETTINGS = {"nmi_simulator": "funnel.payments.nmi.simulator"}


def main() -> None:
    """Run a command, or say in one line which variables it lacks."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "funnel.settings")
    use_running_demo()
    missing = [name for name in REQUIRED if not os.environ.get(name)]
    standalone = NEEDS_NO_SETTINGS.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if missing and standalone is not None:
        del sys.argv[1]
        runpy.run_module(standalone, run_name="__main__")
        return
    if missing and os.environ["DJANGO_SETTINGS_MODULE"] == "funnel.settings":
        sys.exit(f"Set {', '.join(missing)} (docs/reference/settings.md), or start `make demo`.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
