"""The adapters as a Django app."""

from django.apps import AppConfig


class LegacyAdaptersConfig(AppConfig):
    """Registers the checks, and listens to the core's sweeps."""

    name = "legacy_adapters"
    verbose_name = "Legacy sessions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks; let a scrape ask; follow what sweeps do while the site is moved."""
        from legacy_adapters import checks
        from legacy_adapters.migration import measuring, settling
        from sessions_unified.monitoring import exposition

        if measuring.measure not in exposition.ASKS:
            exposition.ASKS.append(measuring.measure)
        settling.listen()
