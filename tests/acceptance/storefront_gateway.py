"""Sandboxes that take their time, for servers under test (``PAYMENT_GATEWAY``)."""

from __future__ import annotations

from funnel.payments.sandbox import SandboxGateway


class SlowSandboxGateway(SandboxGateway):
    """Answers late enough to be met in flight."""

    latency_seconds = 2.0
