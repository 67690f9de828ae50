"""What was measured on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import redis

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench

_PACKAGES: Final = ("Django", "djangorestframework", "psycopg", "redis", "hiredis", "msgspec")


def machine(bench: Bench, *, pinning: str) -> dict[str, str]:
    """Return the facts that the figures depend on, for people."""
    with psycopg.connect(bench.servers.admin_url) as connection:
        postgres = connection.info.parameter_status("server_version")
        (fsync,) = connection.execute("SHOW fsync").fetchone() or ("?",)
    with redis.Redis.from_url(bench.servers.redis_url) as client:
        info: Any = client.info("server")
    server = "Valkey" if "valkey_version" in info else "Redis"
    plan = bench.plan
    return {
        "Date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "System": platform.platform(),
        "Python": platform.python_version(),
        "PostgreSQL": f"{postgres}, fsync {fsync}",
        server: str(info.get("valkey_version") or info["redis_version"]),
        "Packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "Pinning": f"{pinning}; {bench.servers.pinning}",
        "Counts": f"{plan.rounds} rounds of {plan.operations:,} calls a side, in blocks of "
        f"{plan.block}; {bench.bulk_rows:,} rows; growth to {bench.growth_rows:,}",
        "Load": f"{os.getloadavg()[0]:.1f} when it began",
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return models[0] if models else platform.machine()
