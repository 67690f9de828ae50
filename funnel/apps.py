"""The site as a Django app."""

from django.apps import AppConfig


class FunnelConfig(AppConfig):
    """Registers the checks and what listens to the core's signals."""

    name = "funnel"
    verbose_name = "Funnel"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receivers."""
        from funnel import checks, worker_metrics
        from funnel.payments import receivers
