"""Celery: the broker, and who takes tasks from it."""

from __future__ import annotations

from typing import Final

from celery import current_app

from sessions_unified.doctor.findings import Check, Finding, Stopwatch, failed, ok, warned

_CONNECT_SECONDS: Final = 2
_PING_SECONDS: Final = 1.0


def _broker() -> Finding:
    if not current_app.conf.broker_url:
        return warned(
            "no Celery app is configured here",
            "Configure one, or run manage.py cleanup_sessions by cron.",
            "workers-down",
        )
    watch = Stopwatch()
    connection = current_app.connection_for_write(connect_timeout=_CONNECT_SECONDS)
    # A Redis that accepts and says nothing: the time to connect alone would not end that.
    connection.transport_options = {
        **(connection.transport_options or {}),
        "socket_timeout": _CONNECT_SECONDS,
    }
    with connection:
        connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
        return ok(connection.transport.driver_type, ms=watch.ms)


def _workers() -> Finding:
    if not current_app.conf.broker_url:
        return ok("not used")
    watch = Stopwatch()
    found = current_app.control.inspect(timeout=_PING_SECONDS).ping() or {}
    if found:
        return ok(f"{len(found)} answer", ms=watch.ms)
    return failed(
        f"no worker answers within {_PING_SECONDS:g} s",
        "Start one: celery --app … worker. Nothing is lost: touches, expiry and purge wait.",
        "workers-down",
    )


CHECKS: Final = [
    Check(
        name="broker",
        look=_broker,
        advice="Is it running? Does CELERY_BROKER_URL hold? Nothing is lost: work waits.",
        runbook="workers-down",
    ),
    Check(
        name="workers",
        look=_workers,
        advice="The broker does not carry messages.",
        runbook="workers-down",
        needs="broker",
    ),
]
