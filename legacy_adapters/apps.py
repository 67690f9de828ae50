"""The adapters as a Django app."""

from django.apps import AppConfig


class LegacyAdaptersConfig(AppConfig):
    """Registers the checks."""

    name = "legacy_adapters"
    verbose_name = "Legacy sessions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks."""
        from legacy_adapters import checks
