"""The app's place in Django."""

from django.apps import AppConfig


class ChecksConfig(AppConfig):
    """Names the app and tells the worker of its work."""

    name = "webapp.checks"
    verbose_name = "Checks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have checks done, and uploads deleted when their time is over."""
        from webapp.checks import tasks  # noqa: F401 - it names the function that does checks
        from webapp.checks.services import expire_files
        from webapp.jobs.management.commands.worker import HOUSEKEEPING

        HOUSEKEEPING.append(expire_files)
