"""Forms of private catalogues."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from provenance.private_lookup.errors import BadInput
from provenance.private_lookup.identity import PublicIdentity
from provenance.private_lookup.scheme import MAX_TAU
from webapp.private.models import HeldBy
from webapp.private.risk import DEFAULT_ALGORITHM, Risk, best_tau, offered, risk
from webapp.private.services import Terms

_HASHES = {
    "pdq-v1": _("PDQ, 256 bits: finds copies that were recompressed, scaled or recoloured; chance hardly ever matches"),
    "dinohash-house-v2": _("DinoHash of this site, 96 bits: a third of the size and time; allows few bits to differ"),
}
MOST_ENTRIES = 200_000


class IdentityField(forms.CharField):
    """The content of an ``identity.json``, which has public keys only."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})

    def clean(self, value: Any) -> PublicIdentity | None:
        """Return the identity; None where there is none and none is needed."""
        text = super().clean(value)
        if not text:
            return None
        try:
            return PublicIdentity.from_dict(json.loads(text))
        except (ValueError, RecursionError, BadInput, AttributeError) as problem:
            raise ValidationError(_("This is no identity.json. Copy the whole file.")) from problem


class TermsForm(forms.Form):
    """What is decided before there is any key."""

    # Whether an identity is needed is chosen in the form itself.
    use_required_attribute = False

    held_by = forms.ChoiceField(
        label=_("Who hashes and encrypts"), choices=HeldBy.choices, widget=forms.RadioSelect, initial=HeldBy.HOLDER
    )
    identity = IdentityField(
        label=_("Your identity.json"),
        max_length=1000,
        help_text=_(
            "Needed where you encrypt on your own machine. Make it by “provenance catalogue identity FOLDER NAME” and "
            "paste the whole file FOLDER/identity.json: it has public keys only."
        ),
        error_messages={"required": _("Paste the identity.json of whoever will sign the catalogue's content.")},
    )
    algorithm = forms.ChoiceField(label=_("Hash"), widget=forms.RadioSelect, initial=DEFAULT_ALGORITHM)
    planned_entries = forms.IntegerField(
        label=_("How many pictures it will have"), min_value=1, max_value=MOST_ENTRIES, initial=1000
    )
    tau = forms.IntegerField(
        label=_("Bits that a match may differ in"),
        required=False,
        min_value=0,
        max_value=MAX_TAU,
        help_text=_(
            "Left empty: as many as keep chance matches under one in a thousand questions, by the measured rate."
        ),
    )
    who_allowed = forms.BooleanField(
        label=_("Whoever has a match may ask which entry it is"),
        required=False,
        help_text=_("If a keyholder works together with this site, they learn more from such answers."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["identity"].required = self.data.get("held_by") != HeldBy.SITE
        field = self.fields["algorithm"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(name, _HASHES.get(name, name)) for name in offered()]

    def clean(self) -> dict[str, Any]:
        """Choose a threshold where none was."""
        found = super().clean() or {}
        algorithm, entries = found.get("algorithm"), found.get("planned_entries")
        if algorithm and entries and found.get("tau") is None and "tau" not in self.errors:
            found["tau"] = best_tau(algorithm, entries)
            if found["tau"] is None:
                self.add_error("algorithm", _("Chance alone brings too many matches for so many pictures."))
        return found

    def terms(self) -> Terms:
        """Return what was decided, of a valid form."""
        found = self.cleaned_data
        return Terms(
            held_by=HeldBy(found["held_by"]),
            algorithm=found["algorithm"],
            tau=found["tau"],
            who_allowed=found["who_allowed"],
            planned_entries=found["planned_entries"],
        )

    def risk(self) -> Risk:
        """Return what chance does to it, of a valid form."""
        found = self.cleaned_data
        return risk(found["algorithm"], found["tau"], found["planned_entries"])


class ClientForm(forms.Form):
    """Somebody with keys of their own who may ask."""

    identity = IdentityField(
        label=_("Their identity.json"),
        max_length=1000,
        help_text=_("They make it by “provenance catalogue identity FOLDER NAME”. It has public keys only."),
    )
