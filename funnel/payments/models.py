"""The money's own records: attempts, which outlive their session, and idempotency records."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from django.db import models

from sessions_unified.ids import MAX_ID_LENGTH
from sessions_unified.money import quantize

if TYPE_CHECKING:
    from decimal import Decimal

CHECKOUT: Final = "checkout"
UPSELL_PREFIX: Final = "upsell:"


def upsell_purpose(offer_id: str) -> str:
    """Return the purpose of an offer's charge."""
    return f"{UPSELL_PREFIX}{offer_id}"


class ChargeAttempt(models.Model):
    """One intent to charge, written before anything is sent (the charge protocol's T1).

    The authority for what was paid: session stores hold copies. ``amount`` is unknown (null) only
    for what another shop system charged before an import.
    """

    class State(models.TextChoices):
        """The states; the first three are open."""

        CLAIMED = "claimed"
        UNKNOWN = "unknown"
        NEEDS_REVIEW = "needs_review"
        SUCCEEDED = "succeeded"
        DECLINED = "declined"
        REJECTED = "rejected"
        SURPLUS = "surplus"
        REFUNDED = "refunded"
        VOIDED = "voided"

    OPEN: ClassVar = (State.CLAIMED, State.UNKNOWN, State.NEEDS_REVIEW)
    BLOCKING: ClassVar = (*OPEN, State.SUCCEEDED)

    session_id = models.CharField(max_length=MAX_ID_LENGTH)
    purpose = models.CharField(max_length=80, help_text="checkout, or upsell: and the offer")
    step = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=State.choices, default=State.CLAIMED)
    amount = models.DecimalField(max_digits=19, decimal_places=4, null=True)
    currency = models.CharField(max_length=3)
    gateway = models.CharField(max_length=32)
    gateway_order_id = models.CharField(max_length=100)
    transaction_id = models.CharField(max_length=100, null=True, blank=True)
    vault_id = models.CharField(max_length=100, null=True, blank=True)
    lease_until = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True)
    response = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "charge attempt"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["gateway", "gateway_order_id"], name="funnel_attempt_order_id"
            ),
            models.UniqueConstraint(
                fields=["gateway", "transaction_id"],
                condition=models.Q(transaction_id__isnull=False),
                name="funnel_attempt_transaction",
            ),
            models.UniqueConstraint(
                fields=["session_id", "purpose"],
                condition=models.Q(state__in=["claimed", "unknown", "needs_review", "succeeded"]),
                name="funnel_attempt_once_a_purpose",
            ),
            models.CheckConstraint(
                # "IS NOT NULL", because a CHECK lets pass what is unknown, as NULL > 0 is.
                condition=models.Q(amount__isnull=False, amount__gt=0)
                | models.Q(amount=None, gateway="imported"),
                name="funnel_attempt_amount",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["session_id", "created_at"], name="funnel_attempt_session"),
            models.Index(
                "lease_until",
                name="funnel_attempt_open",
                condition=models.Q(state__in=["claimed", "unknown"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} of {self.session_id}: {self.state}"

    @property
    def money(self) -> Decimal:
        """The amount, with exactly its currency's decimals.

        Raises:
            ValueError: it is not on record: another shop system charged it.

        """
        if self.amount is None:
            message = "What an imported attempt charged is not on record."
            raise ValueError(message)
        return quantize(self.amount, self.currency)

    @property
    def is_open(self) -> bool:
        """Whether its outcome is still to come."""
        return self.state in self.OPEN


class IdempotencyRecord(models.Model):
    """One Idempotency-Key of one session, bound to the operation it first came with.

    ``answer`` is the exact body that was, or will be, sent again; null until it is definite.
    """

    session_id = models.CharField(max_length=MAX_ID_LENGTH)
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)
    attempt = models.ForeignKey(
        ChargeAttempt, null=True, on_delete=models.PROTECT, related_name="idempotency_records"
    )
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(null=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session_id", "key"], name="funnel_idempotency_key"),
        ]

    def __str__(self) -> str:
        return f"{self.session_id} {self.key}"
