"""Forms of catalogues, items and uploads."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import URLValidator
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Organisation
from webapp.catalogues.models import Catalogue, CatalogueImport
from webapp.catalogues.selectors import SORTS, ItemFilter
from webapp.registry.models import Visibility, Work


class CatalogueForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Name, description and visibility. That a name is free is decided by the database when it is saved."""

    class Meta:
        model = Catalogue
        fields = ("name", "description", "visibility")
        widgets = {"visibility": forms.RadioSelect, "description": forms.Textarea(attrs={"rows": 3})}

    visibility = forms.ChoiceField(
        label=_("Who finds a copy of a picture sees"),
        choices=Visibility.choices,
        widget=forms.RadioSelect,
        initial=Visibility.PUBLIC,
        help_text=_("You, your colleagues and our reviewers always see the pictures."),
    )

    def validate_unique(self) -> None:
        """Leave it to the service, which answers two at once correctly."""

    def validate_constraints(self) -> None:
        """Likewise."""


class NewCatalogueForm(CatalogueForm):
    """A catalogue's owner too, for people with more than one organisation."""

    organisation = forms.ModelChoiceField(
        label=_("Organisation"), queryset=Organisation.objects.none(), empty_label=None
    )
    field_order = ("organisation", "name", "description", "visibility")

    def __init__(self, *args: Any, organisations: QuerySet[Organisation], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["organisation"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = organisations


class ItemForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """What is said of a picture, and which catalogue it is in."""

    catalogue = forms.ModelChoiceField(
        label=_("Catalogue"),
        queryset=Catalogue.objects.none(),
        empty_label=None,
        help_text=_("A picture takes on the visibility of the catalogue that it is moved to."),
    )

    source_url = forms.URLField(
        label=_("Source (address)"),
        required=False,
        max_length=500,
        assume_scheme="https",
        validators=[URLValidator(schemes=("http", "https"))],
    )

    class Meta:
        model = Work
        fields = ("title", "creator", "licence", "source_url", "external_id")
        labels = {
            "title": _("Title"),
            "creator": _("Creator"),
            "licence": _("Licence"),
            "external_id": _("Your own number"),
        }

    def __init__(self, *args: Any, catalogues: QuerySet[Catalogue], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["catalogue"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = catalogues


class ImportChoiceField(forms.ModelChoiceField):  # type: ignore[type-arg]  # not subscriptable at run time
    """Imports by what was sent and when."""

    def label_from_instance(self, obj: Any) -> str:
        """Return an import's name and time."""
        return f"{obj.upload_name}, {obj.created_at:%Y-%m-%d %H:%M}"


class FilterForm(forms.Form):
    """What somebody looks for in a catalogue. A value that does not fit is told and left out."""

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": _("Title, creator, file name, number")}),
    )
    state = forms.ChoiceField(
        label=_("Show"), required=False, choices=(("", _("Registered")), ("deleted", _("Recently deleted")))
    )
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    upload = ImportChoiceField(
        label=_("Import"), required=False, queryset=CatalogueImport.objects.none(), empty_label=_("All imports")
    )
    sort = forms.ChoiceField(
        label=_("Order"), required=False, choices=[(key, label) for key, (label, _order) in SORTS.items()]
    )

    def __init__(self, *args: Any, catalogue: Catalogue, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["upload"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = catalogue.imports.filter(dry_run=False)

    def wanted(self) -> ItemFilter:
        """Return the valid part of what was asked for."""
        self.is_valid()
        found = self.cleaned_data
        upload = found.get("upload")
        return ItemFilter(
            query=found.get("q") or "",
            deleted=found.get("state") == "deleted",
            since=found.get("since"),
            until=found.get("until"),
            import_id=upload.pk if upload else None,
            sort=found.get("sort") or "newest",
        )


class ManyFilesInput(forms.ClearableFileInput):
    """A file field that takes many."""

    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """The files that were chosen, as a list; that there is at least one is for the service to say."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[bytes]]:
        """Return the files, empty ones too: each gets a row that says so."""
        return [upload for upload in (data or []) if upload]


class UploadForm(forms.Form):
    """Pictures, or a ZIP archive, with or without a table; and whether to try first."""

    uploads = ManyFilesField(required=False)
    mode = forms.ChoiceField(
        label=_("What to do"),
        choices=(
            ("import", _("Register the pictures")),
            ("dry", _("Dry run: say what would happen and register nothing")),
        ),
        initial="import",
        widget=forms.RadioSelect,
    )
