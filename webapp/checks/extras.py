"""What else a check may be asked to do, beyond its usual steps. Later apps append theirs to :data:`EXTRAS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from django import forms

from webapp.accounts.models import ApiKey, User
from webapp.checks.models import Check
from webapp.checks.selectors import Viewer


class Extra(Protocol):
    """Something that whoever sends a picture chooses."""

    def fields(self, user: Viewer) -> dict[str, forms.Field]:
        """Return the fields of the check page's form, for this person; none where there is nothing to choose."""
        ...

    def take(self, *, check: Check, wanted: Mapping[str, Any], owner: User | None, api_key: ApiKey | None) -> None:
        """Note what is wanted of a new check, within the transaction that makes it.

        Raises:
            ProductError: it cannot be had; no check is made then.
        """
        ...


EXTRAS: list[Extra] = []
