"""The adapters as a Django app."""

from django.apps import AppConfig


class LegacyAdaptersConfig(AppConfig):
    """Registers the checks, and listens to the core's sweeps."""

    name = "legacy_adapters"
    verbose_name = "Legacy sessions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks; follow what sweeps do while the site is being moved."""
        from legacy_adapters import checks
        from legacy_adapters.migration import settling

        settling.listen()
