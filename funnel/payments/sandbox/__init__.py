"""The embedded gateway for demos and tests: deterministic, with books of its own."""

from funnel.payments.sandbox.gateway import SandboxGateway

__all__ = ["SandboxGateway"]
