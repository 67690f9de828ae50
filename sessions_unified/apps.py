"""The core as a Django app."""

from django.apps import AppConfig


class SessionsUnifiedConfig(AppConfig):
    """Registers the checks."""

    name = "sessions_unified"
    verbose_name = "Unified sessions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks."""
        from sessions_unified import checks
