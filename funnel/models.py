"""The site's tables; they live beside what they serve."""

from funnel.hooks.models import HookDelivery
from funnel.payments.card_testing.models import CardTestingStop
from funnel.payments.models import ChargeAttempt, IdempotencyRecord
from funnel.payments.money_log.models import MoneyEntry
from funnel.payments.refunds.models import Refund
from funnel.payments.sandbox.models import SandboxCharge, SandboxReversal
from funnel.payments.webhooks.models import GatewayEvent

__all__ = [
    "CardTestingStop",
    "ChargeAttempt",
    "GatewayEvent",
    "HookDelivery",
    "IdempotencyRecord",
    "MoneyEntry",
    "Refund",
    "SandboxCharge",
    "SandboxReversal",
]
