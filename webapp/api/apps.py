"""The app's place in Django."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Names the app."""

    name = "webapp.api"
    verbose_name = "API"
    default_auto_field = "django.db.models.BigAutoField"
