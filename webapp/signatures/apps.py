"""The app's place in Django."""

from django.apps import AppConfig


class SignaturesConfig(AppConfig):
    """Names the app, its jobs, and what is tidied every minute."""

    name = "webapp.signatures"
    verbose_name = "Signatures"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell the worker how pictures are signed and tests done."""
        from webapp.jobs.management.commands.worker import HOUSEKEEPING
        from webapp.signatures import tasks  # noqa: F401 - it registers the handlers
        from webapp.signatures.signing import sweep

        HOUSEKEEPING.append(sweep)
