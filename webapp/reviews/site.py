"""The administration: unfold's site behind our own log-in, under a policy as narrow as it can work with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.constants import SELF, UNSAFE_EVAL
from csp.decorators import csp_update
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.sites import UnfoldAdminSite


class AdministrationSite(UnfoldAdminSite):  # type: ignore[misc]
    """Log-in goes through the site's own page: one door, one limit on guesses."""

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Wrap a view as Django does, and let its page's scripts work.

        Unfold's pages are written in Alpine.js, which compiles the expressions in its attributes at run time; that
        needs 'unsafe-eval' and nothing else. Inline scripts and styles stay forbidden here too.
        """
        return csp_update({"script-src": [SELF, UNSAFE_EVAL]})(super().admin_view(view, cacheable))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send whoever is not logged in to the log-in page, and refuse whoever is but may not enter.

        Raises:
            PermissionDenied: this person is no member of staff.
        """
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.get_full_path())
