"""The app's place in Django."""

from django.apps import AppConfig


class PrivateConfig(AppConfig):
    """Names the app, its jobs, its step of a check, and what it has done every minute."""

    name = "webapp.private"
    verbose_name = "Private catalogues"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell the worker how keys are made and content is checked; ask after pairs are verified."""
        from webapp.checks.examiners import EXAMINERS
        from webapp.checks.extras import EXTRAS
        from webapp.jobs.management.commands.worker import HOUSEKEEPING
        from webapp.private import tasks  # noqa: F401 - it registers the handlers
        from webapp.private.content import offers_begin_owed
        from webapp.private.examiners import AskPrivateCatalogues
        from webapp.private.storage import sweep

        asks = AskPrivateCatalogues()
        at = next(place for place, examiner in enumerate(EXAMINERS) if examiner.key == "verification")
        EXAMINERS.insert(at + 1, asks)
        EXTRAS.append(asks)
        HOUSEKEEPING.extend((offers_begin_owed, sweep))
