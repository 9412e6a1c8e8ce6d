"""The form of the check page, beside its files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Organisation
from webapp.accounts.selectors import organisations_of
from webapp.checks.extras import EXTRAS
from webapp.checks.selectors import Viewer


class CheckForm(forms.Form):
    """Whose colleagues may see the uploaded pictures, asked only of people who have any, and what else is wanted."""

    organisation = forms.ModelChoiceField(
        queryset=Organisation.objects.none(),
        required=False,
        label=_("Who sees the pictures you send"),
        empty_label=_("Only you"),
        help_text=_("The verdict can be read by whoever has its link. The pictures cannot."),
    )

    def __init__(self, *, user: Viewer, data: Any = None) -> None:
        super().__init__(data)
        organisations = organisations_of(user)
        if organisations.exists():
            self.fields["organisation"].queryset = organisations  # type: ignore[attr-defined]
        else:
            del self.fields["organisation"]
        for extra in EXTRAS:
            self.fields.update(extra.fields(user))

    def chosen(self) -> Organisation | None:
        """Return the organisation of a valid form, if one was chosen."""
        return self.cleaned_data.get("organisation")

    def wanted(self) -> dict[str, Any]:
        """Return what else was chosen in a valid form."""
        return {name: value for name, value in self.cleaned_data.items() if name != "organisation"}
