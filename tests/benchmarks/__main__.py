"""``make bench``: measure the rows of the table beside their peers, and print it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from funnel.local.exceptions import LocalError
from funnel.local.site_keys import new_site_keys
from funnel.local.steps import aloud
from tests.benchmarks import results
from tests.benchmarks.measuring import Plan
from tests.benchmarks.pinning import pin
from tests.benchmarks.servers import running_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.benchmarks.bench import Bench
    from tests.benchmarks.results import Result
    from tests.benchmarks.rows import Row
    from tests.benchmarks.servers import Servers

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs/reference/performance.md"
BUILD: Final = ROOT / "build"
QUICK: Final = Plan(operations=500, rounds=3, block=250)
_BULK_ROWS: Final = 1_000_000
_GROWTH_ROWS: Final = 10_000_000
_FEW_ROWS: Final = 50_000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for; 1 if a row could not be measured."""
    options = _parser().parse_args(argv)
    if options.write_docs:
        return _write_docs()
    pinning = pin()
    print(f"This process is {pinning}.")
    try:
        with running_servers(aloud) as servers:
            return _measure(options, servers, pinning)
    except LocalError as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. What was measured until now is kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("rows", nargs="*", help="Rows of the table; all but growth.")
    parser.add_argument("--quick", action="store_true", help="Fewer calls, fewer rows.")
    parser.add_argument("--bulk-rows", type=int, help="Of expire, purge, backfill (1,000,000).")
    parser.add_argument("--growth-rows", type=int, help="Of growth (10,000,000).")
    parser.add_argument("--profile", action="store_true", help="Print where each row's time goes.")
    parser.add_argument(
        "--write-docs", action="store_true", help="Write build/bench.json into the documentation."
    )
    return parser


def _measure(options: argparse.Namespace, servers: Servers, pinning: str) -> int:
    _prepare(servers)
    from tests.benchmarks.bench import Bench
    from tests.benchmarks.catalogue import ROWS
    from tests.benchmarks.machine import machine

    wanted = _wanted(options.rows, ROWS)
    with ExitStack() as stack:
        bench = Bench(
            servers=servers,
            plan=QUICK if options.quick else Plan(),
            bulk_rows=options.bulk_rows or (_FEW_ROWS if options.quick else _BULK_ROWS),
            growth_rows=options.growth_rows or (_FEW_ROWS if options.quick else _GROWTH_ROWS),
            is_profiled=options.profile,
            stack=stack,
        )
        stack.callback(_close)
        # The documentation's figures are those of full counts.
        is_full = not (options.quick or options.bulk_rows or options.growth_rows)
        stem = "bench" if is_full else "bench-quick"
        results.write_machine(BUILD / f"{stem}-machine.json", machine(bench, pinning=pinning))

        def keep(measured: Result) -> None:
            results.write(BUILD / f"{stem}.json", [measured], order=ROWS)

        found = _table(bench, wanted, keep)
    failed = len(wanted) - len(found)
    good = sum(each.ok for each in found)
    print(f"\n{good} of {len(wanted)} within their targets; {failed} could not be measured.")
    print(f"Written to build/{stem}.json.")
    return 1 if failed else 0


def _wanted(names: Sequence[str], rows: Mapping[str, Row]) -> list[Row]:
    unknown = [name for name in names if name not in rows]
    if unknown:
        raise LocalError(f"There is no row {', '.join(unknown)}. There are: {', '.join(rows)}.")
    return [each for each in rows.values() if each.name in names or not (names or each.is_long)]


def _prepare(servers: Servers) -> None:
    """Set the environment, then Django up, on an empty database."""
    os.environ.update(new_site_keys(kid="bench"))
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.benchmarks.settings",
        "DATABASE_URL": servers.database_url,
        "BENCH_BIG_DATABASE_URL": servers.big_database_url,
        "REDIS_URL": servers.redis_url,
        "LEGACY_DATABASE_URL": "",
        "DEBUG": "0",
        "INSECURE_HTTP": "1",
        "LOG_LEVEL": "WARNING",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _table(bench: Bench, wanted: Sequence[Row], keep: Callable[[Result], None]) -> list[Result]:
    """Measure, print and keep row by row; a row that fails is named and the next one goes on."""
    found: list[Result] = []
    print("\n" + results.line(results.HEAD))
    for each in wanted:
        began = time.monotonic()
        try:
            found.append(results.result(each, each.run(bench)))
        except Exception as exc:  # noqa: BLE001  (whatever it is, the other rows are measured)
            print(f"{each.name:<24} FAILED: {type(exc).__name__}: {exc}", flush=True)
            continue
        keep(found[-1])
        took = time.monotonic() - began
        print(f"{results.line(results.cells(found[-1]))} ({took:.0f} s)", flush=True)
    return found


def _close() -> None:
    """Leave nothing listening, and nobody in a database that is dropped next."""
    from django.db import connections

    from sessions_unified.tiers import reset_tiers

    reset_tiers()
    for connection in connections.all(initialized_only=True):
        connection.close()
        connection.close_pool()


def _write_docs() -> int:
    found = results.read(BUILD / "bench.json")
    if not found:
        print("There is no build/bench.json: run make bench first.", file=sys.stderr)
        return 1
    machine = results.read_machine(BUILD / "bench-machine.json")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(results.in_docs(text, found, machine), encoding="utf-8")
    print(f"Wrote {len(found)} rows into {PAGE.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
