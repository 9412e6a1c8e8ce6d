"""What a key may do: each view names one scope for each of its methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from webapp.accounts.models import ApiKey, Scope
from webapp.errors import ErrorCode, ProductError

if TYPE_CHECKING:
    from rest_framework.views import APIView

ANY_KEY = None


class HasScope(BasePermission):
    """Lets in keys that have the scope which ``view.scopes`` names for the method; :data:`ANY_KEY` asks for none.

    A view that names none for a method it has lets nobody in.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the key may; methods that the view does not have are answered elsewhere.

        Raises:
            ProductError: there is no key (401), or it lacks the scope (403).
        """
        if not isinstance(request.auth, ApiKey):
            raise ProductError(
                ErrorCode.NOT_AUTHENTICATED,
                _("A key is needed. Send yours as “Authorization: Bearer <key>”."),
                status=401,
            )
        method = "GET" if request.method == "HEAD" else request.method or ""
        if method not in view.allowed_methods:
            return True
        scopes: dict[str, Scope | None] = getattr(view, "scopes", {})
        if method not in scopes:
            return False
        wanted = scopes[method]
        if wanted is not ANY_KEY and wanted not in request.auth.scopes:
            raise ScopeMissing(wanted)
        return True


class ScopeMissing(ProductError):
    """The key is good, but not for this."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            ErrorCode.SCOPE_MISSING,
            _("This key lacks the scope “%(scope)s”. Ask an owner of your organisation for a key that has it.")
            % {"scope": scope.value},
            status=403,
        )
        self.scope = scope
