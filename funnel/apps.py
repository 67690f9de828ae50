"""The site as a Django app."""

from django.apps import AppConfig


class FunnelConfig(AppConfig):
    """Registers the checks and what listens to the core's signals."""

    name = "funnel"
    verbose_name = "Funnel"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receivers; let a scrape and the doctor ask for what the shop adds."""
        from funnel import checks, worker_metrics
        from funnel.hooks import doctor as hook_doctor
        from funnel.hooks import metrics as hook_metrics
        from funnel.payments import doctor as payment_doctor
        from funnel.payments import metrics, receivers
        from sessions_unified import doctor
        from sessions_unified.monitoring import exposition

        if metrics.measure not in exposition.ASKS:
            exposition.ASKS.append(metrics.measure)
        if hook_metrics.measure not in exposition.ASKS:
            exposition.ASKS.append(hook_metrics.measure)
        for check in (payment_doctor.CHECK, hook_doctor.CHECK):
            if check not in doctor.CHECKS:
                doctor.CHECKS.append(check)
