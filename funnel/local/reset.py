"""``make demo-reset``: forget the demo's data."""

from __future__ import annotations

import shutil
import sys

from funnel.local.exceptions import AlreadyRunningError
from funnel.local.lock import locked
from funnel.local.paths import demo_dir


def main() -> int:
    """Delete the demo's directory, unless the demo runs."""
    directory = demo_dir()
    if not directory.exists():
        print("There is no demo data.")
        return 0
    try:
        with locked(directory):
            shutil.rmtree(directory)
    except AlreadyRunningError as exc:
        print(f"The demo is running (process {exc.pid}): stop it first.", file=sys.stderr)
        return 1
    print("The demo's data is deleted. `make demo` starts with a new shop.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
