"""The app's place in Django."""

from django.apps import AppConfig


class DeepHashConfig(AppConfig):
    """Names the app, its jobs, its step of a check, and what it has done every minute."""

    name = "webapp.deephash"
    verbose_name = "Deep hashes"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Tell the worker how models are trained and pictures hashed; look before pairs are verified."""
        from webapp.checks.examiners import EXAMINERS
        from webapp.deephash import tasks  # noqa: F401 - it registers the handlers
        from webapp.deephash.examiners import SearchDeepHashes
        from webapp.deephash.services import hashing_begin_owed
        from webapp.deephash.storage import sweep
        from webapp.jobs.management.commands.worker import HOUSEKEEPING

        at = next(place for place, examiner in enumerate(EXAMINERS) if examiner.key == "verification")
        EXAMINERS.insert(at, SearchDeepHashes())
        HOUSEKEEPING.extend((hashing_begin_owed, sweep))
