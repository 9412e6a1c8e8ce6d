"""The app's place in Django."""

from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    """Names the app and plugs the reviewers' memory into checks."""

    name = "webapp.reviews"
    verbose_name = "Reviews"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Add the step that remembers decisions after pairs were verified, and tell verification of rejections."""
        from webapp.checks.examiners import EXAMINERS
        from webapp.checks.pairs import REJECTIONS
        from webapp.reviews.examiners import RememberReviews
        from webapp.reviews.selectors import works_rejected

        EXAMINERS.append(RememberReviews())
        REJECTIONS.append(works_rejected)
