"""The app's place in Django."""

from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    """Names the app."""

    name = "webapp.reviews"
    verbose_name = "Reviews"
    default_auto_field = "django.db.models.BigAutoField"
