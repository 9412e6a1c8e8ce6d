"""The app's place in Django."""

from django.apps import AppConfig


class CataloguesConfig(AppConfig):
    """Names the app, its jobs, and what it has done every minute."""

    name = "webapp.catalogues"
    verbose_name = "Catalogues"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell the worker how imports are done, and what to tidy."""
        from webapp.catalogues import tasks  # noqa: F401  (it registers the handler)
        from webapp.catalogues.uploads import catalogues_purge, uploads_expire, uploads_sweep
        from webapp.jobs.management.commands.worker import HOUSEKEEPING

        HOUSEKEEPING.extend((catalogues_purge, uploads_expire, uploads_sweep))
