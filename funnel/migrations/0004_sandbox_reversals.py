import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("funnel", "0003_append_only_money"),
    ]

    operations = [
        migrations.CreateModel(
            name="SandboxReversal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("order_id", models.CharField(max_length=100, unique=True)),
                ("transaction_id", models.CharField(max_length=100, unique=True)),
                ("amount", models.DecimalField(decimal_places=4, max_digits=19)),
                ("is_void", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "charge",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reversals",
                        to="funnel.sandboxcharge",
                    ),
                ),
            ],
            options={
                "verbose_name": "sandbox reversal",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)),
                        name="funnel_sandbox_reversal_amount",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_void", True)),
                        fields=("charge",),
                        name="funnel_sandbox_one_void",
                    ),
                ],
            },
        ),
    ]
