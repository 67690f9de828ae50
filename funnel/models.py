"""The site's tables; they live beside what they serve."""

from funnel.payments.models import ChargeAttempt, IdempotencyRecord
from funnel.payments.sandbox.models import SandboxCharge

__all__ = ["ChargeAttempt", "IdempotencyRecord", "SandboxCharge"]
