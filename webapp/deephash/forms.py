"""Forms of a catalogue's deep hash."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.catalogues.models import Catalogue
from webapp.deephash.models import Bits, Kind
from webapp.deephash.services import choices_of


class ChoiceForm(forms.Form):
    """Which hash a catalogue uses."""

    algorithm = forms.ChoiceField(label=_("Hash of this catalogue"), required=False, widget=forms.RadioSelect)

    def __init__(self, data: Any = None, *, catalogue: Catalogue, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        choices = [(one.algorithm, one.description) for one in choices_of(catalogue)]
        self.fields["algorithm"].choices = [("", _("None")), *choices]  # type: ignore[attr-defined]


class TrainingForm(forms.Form):
    """What is trained."""

    kind = forms.ChoiceField(label=_("Architecture"), choices=Kind.choices, initial=Kind.CON_VAE)
    bits = forms.TypedChoiceField(label=_("Length"), choices=Bits.choices, coerce=int, initial=Bits.SHORT)
