"""Forms of organisations, members and keys."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Organisation, Role, Scope


class OrganisationForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Name and website. That a name is free is decided by the database when it is saved."""

    website = forms.URLField(label=_("website"), required=False, assume_scheme="https")

    class Meta:
        model = Organisation
        fields = ("name", "website")

    def validate_unique(self) -> None:
        """Leave it to the service, which answers two at once correctly."""


class InvitationForm(forms.Form):
    """Whom to invite, as what."""

    email = forms.EmailField(label=_("E-mail address"))
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.EDITOR)


class RoleForm(forms.Form):
    """A member's new role."""

    role = forms.ChoiceField(label=_("Role"), choices=Role.choices)


class ApiKeyForm(forms.Form):
    """A key's name, scopes and last day."""

    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What will use it: “newsroom upload”."))
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        # Refusals name the scope by its value.
        choices=[(scope.value, format_lazy("{} ({})", scope.label, scope.value)) for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
    )
    expires_on = forms.DateField(
        label=_("Last day"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        initial=lambda: timezone.localdate() + timedelta(days=365),
    )

    def clean_expires_on(self) -> Any:
        """Refuse a day that is over; the service holds the far end."""
        day = self.cleaned_data["expires_on"]
        if day < timezone.localdate():
            raise forms.ValidationError(_("That day is over."))
        return day

    @property
    def expires_at(self) -> datetime:
        """The end of the chosen day."""
        return timezone.make_aware(datetime.combine(self.cleaned_data["expires_on"], time.max))
