"""The app's place in Django."""

from django.apps import AppConfig


class ArtworksConfig(AppConfig):
    """Names the app, its jobs, what goes when one ends, and what is tidied every minute."""

    name = "webapp.artworks"
    verbose_name = "Artworks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell the worker how pictures are generated and what to tidy."""
        from webapp.artworks import tasks  # noqa: F401 - it registers the handlers
        from webapp.artworks.services import artworks_purge
        from webapp.artworks.storage import sweep
        from webapp.artworks.studio import ending
        from webapp.artworks.trials import trials_expire
        from webapp.jobs.management.commands.worker import HOUSEKEEPING
        from webapp.jobs.services import ENDINGS

        ENDINGS.append(ending)
        HOUSEKEEPING.extend((artworks_purge, trials_expire, sweep))
