"""Forms that belong to a page and have an address of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import wraps

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

FormView = Callable[..., HttpResponse]


def form_of_page(page: str) -> Callable[[FormView], FormView]:
    """Let a view take a form of a page, of somebody who is logged in. Its own address, where a refused form leaves its
    sender, leads back to the page.

    Args:
        page: name of the page's address, which has the first of the form's ids and no other.
    """

    def of_page(view: FormView) -> FormView:
        @login_required
        @require_http_methods(["GET", "POST"])
        @wraps(view)
        def take(request: HttpRequest, **ids: uuid.UUID) -> HttpResponse:
            if request.method == "GET":
                return redirect(page, next(iter(ids.values())))
            return view(request, **ids)

        return take

    return of_page
