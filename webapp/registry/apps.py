"""The app's place in Django."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Names the app."""

    name = "webapp.registry"
    verbose_name = "Registry"
    default_auto_field = "django.db.models.BigAutoField"
