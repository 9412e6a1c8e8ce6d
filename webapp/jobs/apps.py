"""The app's place in Django."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Names the app."""

    name = "webapp.jobs"
    verbose_name = "Jobs"
    default_auto_field = "django.db.models.BigAutoField"
