"""The app's place in Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Names the app."""

    name = "webapp.accounts"
    verbose_name = "People and organisations"
    default_auto_field = "django.db.models.BigAutoField"
