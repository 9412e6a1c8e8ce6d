"""The app's place in Django."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Names the app, its jobs, and what it has done every minute."""

    name = "webapp.registry"
    verbose_name = "Registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have the worker hash what lacks a hash, remove what was deleted for good, and audit searches."""
        from webapp.jobs.management.commands.worker import HOUSEKEEPING
        from webapp.registry import tasks  # noqa: F401  (it registers the handler)
        from webapp.registry.recall import audits_begin
        from webapp.registry.rehash import rehashes_begin
        from webapp.registry.storage import files_sweep, works_purge

        HOUSEKEEPING.extend((rehashes_begin, works_purge, files_sweep, audits_begin))
