#!/usr/bin/env python
"""Django's commands for this site; while `make demo` runs, they work on the demo."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

from funnel.local.env_file import use_running_demo

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "funnel.settings")
    use_running_demo()
    execute_from_command_line(sys.argv)
