"""The durable tier's tables: the session's row, its event log, service keys, one-time links."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models.expressions import Func
from django.db.models.functions import Lower

from sessions_unified.flow import STATUSES
from sessions_unified.ids import MAX_ID_LENGTH


class Xid8Field(models.BigIntegerField):  # type: ignore[type-arg]  # only the stubs are generic
    """PostgreSQL's 64-bit transaction id."""

    def db_type(self, connection: Any) -> str:
        """Return the column type."""
        return "xid8"

    def from_db_value(self, value: Any, *_: object) -> int | None:
        """Return the id as an int; psycopg has no loader for xid8."""
        return None if value is None else int(value)

    def get_prep_value(self, value: Any) -> str | None:
        """Return the id as text, which PostgreSQL casts."""
        return None if value is None else str(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Return the same; Django would make an integer of it, which PostgreSQL does not cast."""
        return self.get_prep_value(value)


class CurrentXid(Func):
    """``pg_current_xact_id()``: the id of the transaction that writes the row."""

    function = "pg_current_xact_id"
    output_field = Xid8Field()


class UnifiedSession(models.Model):
    """One session, durably. Written by the manager alone; a deleted one leaves a tombstone.

    ``holds`` counts the open reasons (charge attempts) why it may not be expired, purged or
    deleted. A tombstone (``deleted_at`` set) holds no PII and keeps the id from coming back.
    """

    id = models.CharField(primary_key=True, max_length=MAX_ID_LENGTH)
    email = models.TextField(null=True, blank=True)
    status = models.CharField(max_length=16, choices=[(name, name) for name in STATUSES])
    current_step = models.CharField(max_length=64)
    customer = models.JSONField(null=True, blank=True)
    products = models.JSONField(default=list, blank=True)
    amount = models.DecimalField(max_digits=19, decimal_places=4, null=True, blank=True)
    currency = models.CharField(max_length=3)
    vault_id = models.TextField(null=True, blank=True)  # sealed, by `sessions_unified.sealing`
    transaction_id = models.TextField(null=True, blank=True)
    payment_token = models.TextField(null=True, blank=True)  # sealed too
    upsells = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    version = models.BigIntegerField(default=1)
    holds = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "session"
        permissions: ClassVar = [("view_pii", "Can see customers' personal data unmasked")]
        indexes: ClassVar = [
            models.Index(
                "expires_at",
                name="su_session_due",
                condition=models.Q(deleted_at=None)
                & ~models.Q(status__in=["completed", "expired"]),
            ),
            models.Index(
                "updated_at",
                name="su_session_purgeable",
                condition=models.Q(deleted_at=None, status__in=["completed", "expired"]),
            ),
            models.Index("created_at", name="su_session_created"),
            models.Index(Lower("email"), name="su_session_email"),
            models.Index(
                "transaction_id",
                name="su_session_transaction",
                condition=models.Q(transaction_id__isnull=False),
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(version__gte=1), name="su_version_from_1"),
            models.CheckConstraint(
                condition=models.Q(deleted_at=None) | models.Q(holds=0),
                name="su_held_is_not_deleted",
            ),
        ]

    def __str__(self) -> str:
        return self.id


class SessionEvent(models.Model):
    """One committed change of one session, written in the change's own transaction.

    ``seq`` is the session's version after the change. Readers of the whole log go by
    (``xid``, ``position``), only below ``pg_snapshot_xmin(pg_current_snapshot())``. It names
    fields and positions; it holds no PII and no vault id.
    """

    position = models.BigAutoField(primary_key=True)
    xid = Xid8Field(db_default=CurrentXid(), editable=False)
    session_id = models.CharField(max_length=MAX_ID_LENGTH)
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=64)
    changed = models.JSONField(default=list)
    data = models.JSONField(default=dict)
    actor = models.CharField(max_length=100)
    at = models.DateTimeField()

    class Meta:
        verbose_name = "event"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session_id", "seq"], name="su_event_seq"),
        ]
        indexes: ClassVar = [
            models.Index("xid", "position", name="su_event_order"),
            # The last event of a session that is gone: what `events_batch` looks for.
            models.Index(
                "at",
                name="su_event_ended",
                condition=models.Q(kind__in=["session_deleted", "session_purged"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.session_id} #{self.seq} {self.kind}"


class LogCursor(models.Model):
    """How far a consumer of the event log has come: all up to (``xid``, ``position``) is handled.

    ``trail`` holds where it was a little earlier, newest last, as ``[time, xid, position]`` (time
    in seconds since 1970): a consumer whose effects were lost goes back to one of them.
    """

    consumer = models.CharField(max_length=64, primary_key=True)
    xid = Xid8Field(default=0)
    position = models.BigIntegerField(default=0)
    trail = models.JSONField(default=list)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = "cursor of the event log"
        verbose_name_plural = "cursors of the event log"

    def __str__(self) -> str:
        return self.consumer


class ServiceKey(models.Model):
    """An API key of a service: only its SHA-256 is kept (the key has 256 random bits)."""

    name = models.CharField(max_length=100, unique=True)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list, help_text="sessions:read, sessions:write")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "service key"

    def __str__(self) -> str:
        return self.name


class SessionLink(models.Model):
    """A one-time link that gives a shopper their session's token; only its hash is kept."""

    digest = models.CharField(max_length=64, primary_key=True)
    session_id = models.CharField(max_length=MAX_ID_LENGTH, db_index=True)
    created_by = models.CharField(max_length=100)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    redeemed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "one-time link"

    def __str__(self) -> str:
        return f"link to {self.session_id}"
