"""Forms of a catalogue's deep hash."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from webapp.catalogues.models import Catalogue
from webapp.deephash.models import Bits, Kind
from webapp.deephash.services import models_of

SHIPPED = (
    ("edit-hash-64-v1", _("Edit hash, 64 bits: survives rotations, crops, noise and mirroring")),
    ("con-vae-64-v1", _("Con-VAE, 64 bits: the published method, with reconstruction")),
    ("con-vae-128-v1", _("Con-VAE, 128 bits: the published method, with reconstruction")),
)


class ChoiceForm(forms.Form):
    """Which hash a catalogue uses."""

    algorithm = forms.ChoiceField(label=_("Hash of this catalogue"), required=False, widget=forms.RadioSelect)

    def __init__(self, data: Any = None, *, catalogue: Catalogue, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        words = _("%(name)s, learnt from “%(catalogue)s”")
        trained = [
            (one.algorithm, words % {"name": one.algorithm, "catalogue": one.catalogue}) for one in models_of(catalogue)
        ]
        self.fields["algorithm"].choices = [("", _("None")), *SHIPPED, *trained]  # type: ignore[attr-defined]


class TrainingForm(forms.Form):
    """What is trained."""

    kind = forms.ChoiceField(label=_("Architecture"), choices=Kind.choices, initial=Kind.CON_VAE)
    bits = forms.TypedChoiceField(label=_("Length"), choices=Bits.choices, coerce=int, initial=Bits.SHORT)
