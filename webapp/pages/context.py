"""What every template knows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the site's version, and where mail goes when there is no mail server."""
    return {
        "site_version": settings.VERSION,
        "mail_folder": "" if settings.EMAIL_HOST else settings.EMAIL_FILE_PATH,
    }
