import django.db.models.deletion
from django.db import migrations, models

import sessions_unified.sealing

# What attempts of before say about the new columns.
KNOWN = """
UPDATE funnel_chargeattempt SET next_check_at = lease_until WHERE state IN ('claimed', 'unknown');
UPDATE funnel_chargeattempt SET review_since = created_at WHERE state = 'needs_review';
UPDATE funnel_chargeattempt SET settled_at = created_at
    WHERE settled_at IS NULL AND state NOT IN ('claimed', 'unknown', 'needs_review');
"""


class Migration(migrations.Migration):
    dependencies = [
        ("funnel", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="CardTestingStop",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[("session", "Session"), ("address", "Address"), ("card", "Card")],
                        max_length=8,
                    ),
                ),
                ("subject", models.CharField(max_length=64)),
                (
                    "declines",
                    models.PositiveIntegerField(help_text="in the window, at the last refusal"),
                ),
                ("refusals", models.PositiveIntegerField(default=0)),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField(db_index=True)),
                ("until", models.DateTimeField()),
                ("cleared_at", models.DateTimeField(blank=True, null=True)),
                ("cleared_by", models.CharField(blank=True, max_length=150)),
            ],
            options={
                "verbose_name": "card testing stop",
            },
        ),
        migrations.CreateModel(
            name="GatewayEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("gateway", models.CharField(max_length=32)),
                ("event_id", models.CharField(max_length=100)),
                ("event_type", models.CharField(max_length=64)),
                ("order_id", models.CharField(blank=True, max_length=100)),
                ("transaction_id", models.CharField(blank=True, max_length=100)),
                ("facts", models.JSONField(default=dict)),
                ("received_at", models.DateTimeField()),
                ("handled_at", models.DateTimeField(blank=True, null=True)),
                ("outcome", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "verbose_name": "gateway event",
            },
        ),
        migrations.CreateModel(
            name="HookDelivery",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("target", models.CharField(max_length=64)),
                ("event_id", models.CharField(max_length=100)),
                ("type", models.CharField(max_length=64)),
                ("session_id", models.CharField(max_length=64)),
                ("seq", models.BigIntegerField()),
                ("facts", models.JSONField(default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("delivered", "Delivered"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("tries", models.PositiveIntegerField(default=0)),
                ("next_try_at", models.DateTimeField()),
                ("last_error", models.CharField(blank=True, max_length=300)),
                ("occurred_at", models.DateTimeField()),
                ("created_at", models.DateTimeField()),
                ("delivered_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "hook delivery",
                "verbose_name_plural": "hook deliveries",
                "permissions": [("replay_hook", "Can deliver hooks again")],
            },
        ),
        migrations.CreateModel(
            name="MoneyEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("session_id", models.CharField(db_index=True, max_length=64)),
                (
                    "kind",
                    models.CharField(
                        choices=[("charge", "Charge"), ("refund", "Refund"), ("void", "Void")],
                        max_length=8,
                    ),
                ),
                ("purpose", models.CharField(max_length=80)),
                (
                    "line",
                    models.PositiveSmallIntegerField(
                        help_text="its place among the attempt's lines"
                    ),
                ),
                ("item_kind", models.CharField(max_length=16)),
                ("item", models.TextField(blank=True)),
                ("name", models.TextField(blank=True)),
                ("quantity", models.IntegerField(default=1)),
                ("amount", models.DecimalField(decimal_places=4, max_digits=19)),
                ("currency", models.CharField(max_length=3)),
                ("actor", models.CharField(max_length=150)),
                ("at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "money entry",
                "verbose_name_plural": "money entries",
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("refund", "Refund"), ("void", "Void")], max_length=8
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("claimed", "Claimed"),
                            ("unknown", "Unknown"),
                            ("needs_review", "Needs Review"),
                            ("succeeded", "Succeeded"),
                            ("refused", "Refused"),
                        ],
                        default="claimed",
                        max_length=16,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=4, max_digits=19)),
                ("lines", models.JSONField(default=list)),
                ("gateway", models.CharField(max_length=32)),
                ("gateway_order_id", models.CharField(max_length=100)),
                ("transaction_id", models.CharField(blank=True, max_length=100, null=True)),
                ("lease_until", models.DateTimeField()),
                ("checks", models.PositiveSmallIntegerField(default=0)),
                ("next_check_at", models.DateTimeField(blank=True, null=True)),
                ("response", models.JSONField(blank=True, default=dict)),
                ("reason", models.CharField(blank=True, help_text="the gateway's", max_length=200)),
                ("requested_by", models.CharField(max_length=150)),
                ("requested_reason", models.CharField(max_length=500)),
                ("review_since", models.DateTimeField(blank=True, null=True)),
                ("resolved_by", models.CharField(blank=True, max_length=150)),
                ("resolved_reason", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField()),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.AlterModelOptions(
            name="chargeattempt",
            options={
                "permissions": [
                    ("refund_charge", "Can refund and void charges"),
                    ("resolve_charge", "Can decide on charges in review"),
                ],
                "verbose_name": "charge attempt",
            },
        ),
        migrations.RemoveIndex(
            model_name="chargeattempt",
            name="funnel_attempt_open",
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="address",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="card",
            field=models.CharField(blank=True, db_default="", default="", max_length=64),
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="checks",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="discrepancy",
            field=models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="lines",
            field=models.JSONField(
                blank=True, db_default=models.Value([], models.JSONField()), default=list
            ),
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="next_check_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="resolved_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="resolved_by",
            field=models.CharField(blank=True, db_default="", default="", max_length=150),
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="resolved_reason",
            field=models.CharField(blank=True, db_default="", default="", max_length=500),
        ),
        migrations.AddField(
            model_name="chargeattempt",
            name="review_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="chargeattempt",
            name="vault_id",
            field=sessions_unified.sealing.SealedTextField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="chargeattempt",
            index=models.Index(
                models.F("next_check_at"),
                condition=models.Q(("state__in", ["claimed", "unknown"])),
                name="funnel_attempt_due",
            ),
        ),
        migrations.AddIndex(
            model_name="chargeattempt",
            index=models.Index(
                models.F("review_since"),
                condition=models.Q(("state", "needs_review")),
                name="funnel_attempt_in_review",
            ),
        ),
        migrations.AddIndex(
            model_name="chargeattempt",
            index=models.Index(
                models.F("address"),
                models.F("settled_at"),
                condition=models.Q(
                    ("state__in", ["declined", "rejected"]),
                    models.Q(("address", ""), _negated=True),
                ),
                name="funnel_attempt_address",
            ),
        ),
        migrations.AddIndex(
            model_name="chargeattempt",
            index=models.Index(
                models.F("card"),
                models.F("settled_at"),
                condition=models.Q(
                    ("state__in", ["declined", "rejected"]), models.Q(("card", ""), _negated=True)
                ),
                name="funnel_attempt_card",
            ),
        ),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="chargeattempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "claimed",
                            "unknown",
                            "needs_review",
                            "succeeded",
                            "declined",
                            "rejected",
                            "surplus",
                            "refunded",
                            "voided",
                        ],
                    )
                ),
                name="funnel_attempt_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargeattempt",
            constraint=models.CheckConstraint(
                condition=models.Q(("currency__regex", "^[A-Z]{3}$")),
                name="funnel_attempt_currency",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargeattempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("settled_at", None), ("state__in", ["claimed", "unknown", "needs_review"])
                    ),
                    models.Q(
                        models.Q(
                            ("state__in", ["claimed", "unknown", "needs_review"]), _negated=True
                        ),
                        ("settled_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="funnel_attempt_settled",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargeattempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "succeeded"), _negated=True),
                    ("transaction_id__isnull", False),
                    ("gateway", "imported"),
                    _connector="OR",
                ),
                name="funnel_attempt_names_transaction",
            ),
        ),
        migrations.AddConstraint(
            model_name="chargeattempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("review_since__isnull", False), ("state", "needs_review")),
                    models.Q(
                        models.Q(("state", "needs_review"), _negated=True), ("review_since", None)
                    ),
                    _connector="OR",
                ),
                name="funnel_attempt_review",
            ),
        ),
        migrations.AddConstraint(
            model_name="cardtestingstop",
            constraint=models.UniqueConstraint(
                fields=("scope", "subject"), name="funnel_stop_subject"
            ),
        ),
        migrations.AddIndex(
            model_name="gatewayevent",
            index=models.Index(
                models.F("received_at"),
                condition=models.Q(("handled_at", None)),
                name="funnel_event_unhandled",
            ),
        ),
        migrations.AddIndex(
            model_name="gatewayevent",
            index=models.Index(fields=["order_id"], name="funnel_event_order"),
        ),
        migrations.AddConstraint(
            model_name="gatewayevent",
            constraint=models.UniqueConstraint(
                fields=("gateway", "event_id"), name="funnel_event_once"
            ),
        ),
        migrations.AddIndex(
            model_name="hookdelivery",
            index=models.Index(
                models.F("created_at"),
                condition=models.Q(("state", "failed")),
                name="funnel_hook_failed",
            ),
        ),
        migrations.AddIndex(
            model_name="hookdelivery",
            index=models.Index(
                models.F("next_try_at"),
                condition=models.Q(("state", "pending")),
                name="funnel_hook_due",
            ),
        ),
        migrations.AddIndex(
            model_name="hookdelivery",
            index=models.Index(fields=["target", "session_id", "seq"], name="funnel_hook_order"),
        ),
        migrations.AddConstraint(
            model_name="hookdelivery",
            constraint=models.UniqueConstraint(
                fields=("target", "event_id"), name="funnel_hook_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="hookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["pending", "delivered", "failed"])),
                name="funnel_hook_state",
            ),
        ),
        migrations.AddField(
            model_name="moneyentry",
            name="attempt",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="money_entries",
                to="funnel.chargeattempt",
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="attempt",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="funnel.chargeattempt",
            ),
        ),
        migrations.AddField(
            model_name="moneyentry",
            name="refund",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="money_entries",
                to="funnel.refund",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                models.F("next_check_at"),
                condition=models.Q(("state__in", ["claimed", "unknown"])),
                name="funnel_refund_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                fields=("gateway", "gateway_order_id"), name="funnel_refund_order_id"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["claimed", "unknown", "needs_review"])),
                fields=("attempt",),
                name="funnel_refund_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="funnel_refund_amount"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["claimed", "unknown", "needs_review", "succeeded", "refused"])
                ),
                name="funnel_refund_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("settled_at", None), ("state__in", ["claimed", "unknown", "needs_review"])
                    ),
                    models.Q(
                        models.Q(
                            ("state__in", ["claimed", "unknown", "needs_review"]), _negated=True
                        ),
                        ("settled_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="funnel_refund_settled",
            ),
        ),
        migrations.AddConstraint(
            model_name="moneyentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "charge")),
                fields=("attempt", "line"),
                name="funnel_money_charged_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="moneyentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("refund__isnull", False)),
                fields=("refund", "line"),
                name="funnel_money_refunded_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="moneyentry",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["charge", "refund", "void"])),
                name="funnel_money_kind",
            ),
        ),
    ]
