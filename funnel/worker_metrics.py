"""``/metrics`` of a Celery worker in a container of its own, on ``METRICS_PORT``.

Only what it and its children counted: what is measured, the web processes show.
"""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from celery import signals
from django.conf import settings

from funnel.probes import may_scrape
from sessions_unified.monitoring.exposition import CONTENT_TYPE, counted

logger = logging.getLogger(__name__)


class _Handler(BaseHTTPRequestHandler):
    timeout = 5

    def do_GET(self) -> None:
        is_shown = self.path == "/metrics" and may_scrape(self.headers.get("Authorization", ""))
        body = counted() if is_shown else b"Not found\n"
        self.send_response(200 if is_shown else 404)
        self.send_header("Content-Type", CONTENT_TYPE if is_shown else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log no scrape."""


def serve(port: int) -> ThreadingHTTPServer:
    """Answer scrapes from a thread until the process ends, or ``shutdown`` is called."""
    server = ThreadingHTTPServer(("", port), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="worker-metrics", daemon=True).start()
    return server


@signals.worker_ready.connect
def start(**_: object) -> None:
    """Begin with the worker; a port that is taken costs the metrics, not the worker."""
    if not settings.METRICS_PORT:
        return
    try:
        serve(settings.METRICS_PORT)
    except OSError as exc:
        logger.error("METRICS_PORT %s: %s", settings.METRICS_PORT, exc)  # noqa: TRY400  (no fault of the code)
