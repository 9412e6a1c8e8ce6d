"""Forms of artworks: what to generate, with which keys, and what to prove."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.artwork.recipe import DEFAULT_EXCLUSIONS, MAX_PROMPT, PRESETS
from provenance.artwork.signature import Signature
from webapp.accounts.models import Organisation, User
from webapp.artworks.library import Wish, check_prompt, exclusions_of, preset_words, signature_of
from webapp.artworks.models import Mode
from webapp.artworks.trials import Alteration
from webapp.artworks.vault import form_signature, form_token
from webapp.errors import ProductError
from webapp.registry.models import Visibility


class PromptField(forms.CharField):
    """The first key: words, exactly as they will have to be given again."""

    widget = forms.Textarea

    def __init__(self, **options: Any) -> None:
        super().__init__(
            label=gettext_lazy("Prompt"),
            strip=False,
            # Said by the service, in one sentence for all who ask.
            required=False,
            widget=forms.Textarea(
                attrs={
                    "rows": 3,
                    "data-count": MAX_PROMPT,
                    "autocomplete": "off",
                    "spellcheck": "true",
                    "required": True,
                }
            ),
            **options,
        )

    def clean(self, value: Any) -> str:
        """Return the words.

        Raises:
            ValidationError: they say nothing or too much.
        """
        # Browsers send line ends as two characters.
        words = re.sub(r"\r\n?", "\n", super().clean(value))
        try:
            check_prompt(words)
        except ProductError as error:
            raise forms.ValidationError(str(error.message)) from error
        return words


class KeysForm(forms.Form):
    """A prompt and a signature file. A file that was read needs not be sent again when another field is mended."""

    prompt = PromptField()
    signature = forms.FileField(label=gettext_lazy("Signature file"), required=False, allow_empty_file=True)
    signature_kept = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        self._signature: Signature | None = None

    def clean(self) -> dict[str, Any]:
        """Reduce the file to its key, or take the one that was sent before.

        Raises:
            ValidationError: there is neither, or the file will not do.
        """
        cleaned = super().clean() or {}
        upload = cleaned.get("signature")
        if upload is not None:
            try:
                self._signature = signature_of(upload)
            except ProductError as error:
                self.add_error("signature", str(error.message))
        elif token := cleaned.get("signature_kept"):
            self._signature = form_signature(token, self._user.pk)
        if self._signature is None and "signature" not in self.errors:
            self.add_error("signature", _("Choose the file that is your signature: a picture, a sound, anything."))
        return cleaned

    @property
    def read(self) -> Signature:
        """The signature of a valid form."""
        assert self._signature is not None
        return self._signature

    @property
    def kept(self) -> str:
        """What stands for the signature in the form's next round; empty where there is none yet."""
        return form_token(self._signature, self._user.pk) if self._signature else ""


class ArtworkForm(KeysForm):
    """All that is said of a picture to be generated."""

    organisation = forms.ModelChoiceField(
        label=gettext_lazy("Organisation"), queryset=Organisation.objects.none(), empty_label=None
    )
    title = forms.CharField(
        label=gettext_lazy("Title"),
        max_length=200,
        help_text=gettext_lazy("Everybody sees it. Keep the words of your prompt out of it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    preset = forms.ChoiceField(
        label=gettext_lazy("Size and quality"),
        widget=forms.RadioSelect,
        initial="standard",
        help_text=gettext_lazy(
            "On two idle processor cores the smallest takes some five seconds and the largest about a minute; on a "
            "busy machine longer. The time left is shown once it has begun."
        ),
    )
    mode = forms.ChoiceField(
        label=gettext_lazy("Arithmetic"), choices=Mode.choices, widget=forms.RadioSelect, initial=Mode.CANONICAL
    )
    exclusions = forms.CharField(
        label=gettext_lazy("What the picture is to keep away from"),
        required=False,
        initial=", ".join(DEFAULT_EXCLUSIONS),
        help_text=gettext_lazy("Words or phrases with commas between. They stand in the public recipe."),
    )
    visibility = forms.ChoiceField(
        label=gettext_lazy("Others see"),
        choices=Visibility.choices,
        widget=forms.RadioSelect,
        initial=Visibility.PUBLIC,
        help_text=gettext_lazy("A picture that is public can be proved by anybody who has an account and both keys."),
    )
    keep_prompt = forms.BooleanField(
        label=gettext_lazy("Keep my prompt, encrypted"),
        required=False,
        help_text=gettext_lazy(
            "Only you can read it, on the artwork's page. Otherwise it is deleted when the picture is done: note it"
            " down. The signature file is never kept."
        ),
    )
    unknown_accepted = forms.CharField(required=False, widget=forms.HiddenInput)

    field_order = (
        "prompt",
        "signature",
        "signature_kept",
        "organisation",
        "title",
        "preset",
        "visibility",
        "keep_prompt",
        "mode",
        "exclusions",
    )

    def __init__(self, *args: Any, organisations: QuerySet[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["organisation"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = organisations
        preset = self.fields["preset"]
        assert isinstance(preset, forms.ChoiceField)
        preset.choices = [(name, preset_words(name)) for name in PRESETS]

    @property
    def wish(self) -> Wish:
        """What a valid form asks for."""
        from provenance.artwork import recipe

        return Wish(
            preset=self.cleaned_data["preset"],
            mode=recipe.Mode(self.cleaned_data["mode"]),
            exclusions=exclusions_of(self.cleaned_data["exclusions"]),
        )


class ArtworkEditForm(forms.Form):
    """What an artwork is called, and what others see of it."""

    title = forms.CharField(label=gettext_lazy("Title"), max_length=200)
    visibility = forms.ChoiceField(
        label=gettext_lazy("Others see"), choices=Visibility.choices, widget=forms.RadioSelect
    )


class TrialForm(forms.Form):
    """A prompt, a picture, and the pixel of it to alter."""

    prompt = PromptField()
    source = forms.ChoiceField(
        label=gettext_lazy("Signature"),
        choices=(("example", gettext_lazy("The example beside this")), ("own", gettext_lazy("A picture of your own"))),
        initial="example",
        widget=forms.RadioSelect,
    )
    picture = forms.FileField(label=gettext_lazy("Your picture"), required=False, allow_empty_file=True)
    x = forms.IntegerField(label=gettext_lazy("Column"), min_value=0, initial=12)
    y = forms.IntegerField(label=gettext_lazy("Row"), min_value=0, initial=20)
    colour = forms.RegexField(
        label=gettext_lazy("New colour"),
        regex=r"^#[0-9a-fA-F]{6}$",
        initial="#e0218a",
        widget=forms.TextInput(attrs={"type": "color"}),
        error_messages={"invalid": gettext_lazy("Choose a colour, such as #e0218a.")},
    )

    def clean(self) -> dict[str, Any]:
        """See that there is a picture where one of one's own is wanted."""
        cleaned = super().clean() or {}
        if cleaned.get("source") == "own" and cleaned.get("picture") is None:
            self.add_error("picture", _("Choose a picture, or take the example."))
        return cleaned

    @property
    def alteration(self) -> Alteration:
        """The change that a valid form asks for."""
        digits = self.cleaned_data["colour"].removeprefix("#")
        red, green, blue = (int(digits[at : at + 2], 16) for at in (0, 2, 4))
        return Alteration(self.cleaned_data["x"], self.cleaned_data["y"], (red, green, blue))
