"""The app's place in Django."""

from django.apps import AppConfig


class ChecksConfig(AppConfig):
    """Names the app."""

    name = "webapp.checks"
    verbose_name = "Checks"
    default_auto_field = "django.db.models.BigAutoField"
