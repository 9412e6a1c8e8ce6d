"""The app's place in Django."""

from django.apps import AppConfig


class PagesConfig(AppConfig):
    """Names the app."""

    name = "webapp.pages"
    verbose_name = "Pages"
    default_auto_field = "django.db.models.BigAutoField"
