"""The app's place in Django."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Names the app, and what it has done every minute."""

    name = "webapp.api"
    verbose_name = "API"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have old records of writes deleted."""
        from webapp.api.idempotency import records_purge
        from webapp.jobs.management.commands.worker import HOUSEKEEPING

        HOUSEKEEPING.append(records_purge)
