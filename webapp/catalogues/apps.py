"""The app's place in Django."""

from django.apps import AppConfig


class CataloguesConfig(AppConfig):
    """Names the app."""

    name = "webapp.catalogues"
    verbose_name = "Catalogues"
    default_auto_field = "django.db.models.BigAutoField"
