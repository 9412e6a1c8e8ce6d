"""What a key reaches: its own organisation's things. Another organisation's are not there, as far as it can tell."""

from __future__ import annotations

import uuid
from typing import TypeVar

from django.db.models import Count, Model, Q, QuerySet
from django.http import Http404

from webapp.accounts.models import Organisation
from webapp.artworks.models import Artwork, Proof
from webapp.catalogues.models import Catalogue, CatalogueImport, CatalogueItem
from webapp.checks.models import Check
from webapp.deephash.models import TrainedModel
from webapp.registry.models import Work
from webapp.signatures.models import Kind, SignatureCode

# Addresses hand over None for what is no UUID: nothing has that id.
Id = uuid.UUID | None
Row = TypeVar("Row", bound=Model)


def checks_of(organisation: Organisation) -> QuerySet[Check]:
    """Return the checks that the organisation's keys and members sent in its name, with their jobs."""
    return Check.objects.select_related("job", "organisation").filter(organisation=organisation)


def check_of(organisation: Organisation, check_id: Id) -> Check:
    """Return one of :func:`checks_of`.

    Raises:
        Http404: it has none of that id.
    """
    return _one(checks_of(organisation), check_id)


def catalogues_of(organisation: Organisation) -> QuerySet[Catalogue]:
    """Return the organisation's live catalogues, each with ``works``: how many items it has."""
    return (
        Catalogue.objects.live()
        .filter(organisation=organisation)
        .annotate(works=Count("items", filter=Q(items__work__deleted_at=None)))
    )


def catalogue_of(organisation: Organisation, catalogue_id: Id) -> Catalogue:
    """Return one of :func:`catalogues_of`.

    Raises:
        Http404: it has none of that id.
    """
    return _one(catalogues_of(organisation), catalogue_id)


def item_of(organisation: Organisation, item_id: Id) -> CatalogueItem:
    """Return a live item of a live catalogue, with its work.

    Raises:
        Http404: the organisation has none of that id.
    """
    items = CatalogueItem.objects.select_related("work", "catalogue__organisation").filter(
        catalogue__organisation=organisation, catalogue__deleted_at=None, work__deleted_at=None
    )
    return _one(items, item_id)


def import_of(organisation: Organisation, import_id: Id) -> CatalogueImport:
    """Return an import into a live catalogue, with its job.

    Raises:
        Http404: the organisation has none of that id.
    """
    imports = CatalogueImport.objects.select_related("job", "catalogue").filter(
        catalogue__organisation=organisation, catalogue__deleted_at=None
    )
    return _one(imports, import_id)


def artworks_of(organisation: Organisation) -> QuerySet[Artwork]:
    """Return the organisation's live artworks, with their jobs and works."""
    return Artwork.objects.live().select_related("job", "work", "organisation").filter(organisation=organisation)


def artwork_of(organisation: Organisation, artwork_id: Id, *, deleted: bool = False) -> Artwork:
    """Return one of :func:`artworks_of`.

    Args:
        deleted: or one that is deleted and can be restored.

    Raises:
        Http404: it has none of that id.
    """
    artworks = artworks_of(organisation)
    if deleted:
        artworks = Artwork.objects.select_related("job", "work", "organisation").filter(organisation=organisation)
    return _one(artworks, artwork_id)


def proofs_of(artwork: Artwork) -> QuerySet[Proof]:
    """Return the proofs that were tried on an artwork, with their jobs."""
    return artwork.proofs.select_related("job")


def proof_of(organisation: Organisation, proof_id: Id) -> Proof:
    """Return a proof that was tried on one of :func:`artworks_of`.

    Raises:
        Http404: there is none of that id.
    """
    proofs = Proof.objects.select_related("job").filter(artwork__in=artworks_of(organisation))
    return _one(proofs, proof_id)


def training_of(organisation: Organisation, training_id: Id) -> TrainedModel:
    """Return a deep hash that is, was or was not to the end trained in the organisation, with its job.

    Raises:
        Http404: it has none of that id.
    """
    trainings = TrainedModel.objects.select_related("job", "catalogue").filter(organisation=organisation)
    return _one(trainings, training_id)


def signed_work_of(organisation: Organisation, work_id: Id) -> Work:
    """Return a live work of the organisation's: of a catalogue, or an artwork's.

    Raises:
        Http404: it has none of that id.
    """
    return _one(Work.objects.live().filter(organisation=organisation), work_id)


def generators_of(organisation: Organisation) -> QuerySet[SignatureCode]:
    """Return the codes of the organisation's generators, revoked ones too."""
    return SignatureCode.objects.filter(organisation=organisation, kind=Kind.GENERATOR)


def generator_of(organisation: Organisation, generator_id: Id) -> SignatureCode:
    """Return one of :func:`generators_of`.

    Raises:
        Http404: it has none of that id.
    """
    return _one(generators_of(organisation), generator_id)


def _one(rows: QuerySet[Row], row_id: Id) -> Row:
    row = rows.filter(pk=row_id).first()
    if row is None:
        raise Http404
    return row
