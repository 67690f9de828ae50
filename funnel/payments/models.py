"""The money's own records: attempts, which outlive their session, and idempotency records."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from django.db import models
from django.db.models import Value

from sessions_unified.ids import MAX_ID_LENGTH
from sessions_unified.money import quantize
from sessions_unified.sealing import SealedTextField

if TYPE_CHECKING:
    from decimal import Decimal

CHECKOUT: Final = "checkout"
UPSELL_PREFIX: Final = "upsell:"

OPEN_STATES: Final = ["claimed", "unknown", "needs_review"]
STATES: Final = [
    *OPEN_STATES,
    *("succeeded", "declined", "rejected", "surplus", "refunded", "voided"),
]


def upsell_purpose(offer_id: str) -> str:
    """Return the purpose of an offer's charge."""
    return f"{UPSELL_PREFIX}{offer_id}"


class ChargeAttempt(models.Model):
    """One intent to charge, written before anything is sent (the charge protocol's T1).

    The authority for what was paid: session stores hold copies. ``amount`` is unknown (null) only
    for what another shop system charged before an import.

    Attributes:
        lines: what the amount is for, as `funnel.payments.lines.Line` has it.
        address: keyed hash of the payer's network address; empty if not known.
        card: keyed hash of the gateway's fingerprint of the card; empty if not known.
        checks: how often the gateway was asked for it and had no conclusive answer.
        next_check_at: when the sweeper asks (again); null: not any more.
        review_since: when a person was first needed; null unless one is.
        resolved_by: who of the staff decided on it, with the reason and the time.
        discrepancy: what the gateway said later that contradicts it, for staff.

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
    vault_id = SealedTextField(null=True, blank=True)
    # With defaults in the database, for software that writes rows without knowing these columns.
    lines = models.JSONField(default=list, db_default=Value([], models.JSONField()), blank=True)
    address = models.CharField(max_length=64, default="", db_default="", blank=True)
    card = models.CharField(max_length=64, default="", db_default="", blank=True)
    lease_until = models.DateTimeField()
    checks = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_check_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    response = models.JSONField(default=dict, blank=True)
    review_since = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=150, default="", db_default="", blank=True)
    resolved_reason = models.CharField(max_length=500, default="", db_default="", blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    discrepancy = models.CharField(max_length=200, default="", db_default="", blank=True)
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
            models.CheckConstraint(
                condition=models.Q(state__in=STATES), name="funnel_attempt_state"
            ),
            models.CheckConstraint(
                condition=models.Q(currency__regex=r"^[A-Z]{3}$"), name="funnel_attempt_currency"
            ),
            models.CheckConstraint(
                # Imported ones were settled by another shop, which may not say when.
                condition=models.Q(state__in=OPEN_STATES, settled_at=None)
                | (~models.Q(state__in=OPEN_STATES) & models.Q(settled_at__isnull=False)),
                name="funnel_attempt_settled",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="succeeded")
                | models.Q(transaction_id__isnull=False)
                | models.Q(gateway="imported"),
                name="funnel_attempt_names_transaction",
            ),
            models.CheckConstraint(
                condition=models.Q(state="needs_review", review_since__isnull=False)
                | (~models.Q(state="needs_review") & models.Q(review_since=None)),
                name="funnel_attempt_review",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["session_id", "created_at"], name="funnel_attempt_session"),
            models.Index(
                "next_check_at",
                name="funnel_attempt_due",
                condition=models.Q(state__in=["claimed", "unknown"]),
            ),
            models.Index(
                "review_since",
                name="funnel_attempt_in_review",
                condition=models.Q(state="needs_review"),
            ),
            models.Index(
                "address",
                "settled_at",
                name="funnel_attempt_address",
                condition=models.Q(state__in=["declined", "rejected"]) & ~models.Q(address=""),
            ),
            models.Index(
                "card",
                "settled_at",
                name="funnel_attempt_card",
                condition=models.Q(state__in=["declined", "rejected"]) & ~models.Q(card=""),
            ),
        ]
        permissions: ClassVar = [
            ("refund_charge", "Can refund and void charges"),
            ("resolve_charge", "Can decide on charges in review"),
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

    @property
    def offer_id(self) -> str | None:
        """The offer that it is for; None for the order."""
        is_order = not self.purpose.startswith(UPSELL_PREFIX)
        return None if is_order else self.purpose.removeprefix(UPSELL_PREFIX)


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
