"""``python -m funnel.payments.nmi.simulator``: the same program, where there are no settings."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from funnel.payments.nmi.simulator.cli import (
    HELP,
    Options,
    SimulatorRefusedError,
    add_arguments,
    run,
)


def main() -> int:
    """Run until it is stopped; return the exit code."""
    parser = argparse.ArgumentParser(prog="nmi_simulator", description=HELP)
    add_arguments(parser, defaults=Options())
    try:
        run(Options(**vars(parser.parse_args())), say=partial(print, flush=True))
    except SimulatorRefusedError as exc:
        print(exc, file=sys.stderr)  # noqa: T201  (a program's own last words)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
