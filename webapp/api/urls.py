"""Addresses of the API: none ends with a slash, so that no request to one is redirected."""

from __future__ import annotations

import uuid

from django.urls import include, path, register_converter

from webapp.api import documents
from webapp.api.artworks import (
    ArtworkCancel,
    ArtworkDetail,
    ArtworkPicture,
    ArtworkRecipe,
    ArtworkRecord,
    ArtworkRestore,
    Artworks,
)
from webapp.api.catalogues import CatalogueDetail, Catalogues, ItemDetail, Items
from webapp.api.checks import CheckCancel, CheckDetail, CheckReceipt, Checks
from webapp.api.generators import GeneratorDetail, GeneratorRecipe, GeneratorRestore, Generators
from webapp.api.hashes import (
    DeepHash,
    DeepHashCancel,
    DeepHashLookUp,
    TrainingCancel,
    TrainingDetail,
    Trainings,
)
from webapp.api.imports import ImportDetail, ImportRows
from webapp.api.me import Me
from webapp.api.private import (
    PrivateAnswer,
    PrivateBlock,
    PrivateCatalogueDetail,
    PrivateCatalogues,
    PrivateKit,
    PrivateManifest,
    PrivateQuestionCancel,
    PrivateQuestionDetail,
    PrivateQuestions,
)
from webapp.api.proofs import ProofDetail, ProofDifference, ProofPicture, Proofs
from webapp.api.signatures import ReadSignature, WorkSignature, WorkSignaturePicture


class IdConverter:
    """A UUID, or None for anything else: so the view answers, and asks for a key before it says "not found"."""

    regex = "[^/]+"

    def to_python(self, value: str) -> uuid.UUID | None:
        """Return the id."""
        try:
            found = uuid.UUID(value)
        except ValueError:
            return None
        return found if str(found) == value.lower() else None

    def to_url(self, value: uuid.UUID | str) -> str:
        """Return the id as it stands in an address."""
        return str(value)


register_converter(IdConverter, "id")

v1 = [
    path("me", Me.as_view(), name="me"),
    path("checks", Checks.as_view(), name="checks"),
    path("checks/<id:check_id>", CheckDetail.as_view(), name="check"),
    path("checks/<id:check_id>/cancel", CheckCancel.as_view(), name="check-cancel"),
    path("checks/<id:check_id>/receipt", CheckReceipt.as_view(), name="check-receipt"),
    path("catalogues", Catalogues.as_view(), name="catalogues"),
    path("catalogues/<id:catalogue_id>", CatalogueDetail.as_view(), name="catalogue"),
    path("catalogues/<id:catalogue_id>/items", Items.as_view(), name="items"),
    path("catalogues/<id:catalogue_id>/hash", DeepHash.as_view(), name="hash"),
    path("catalogues/<id:catalogue_id>/hash/cancel", DeepHashCancel.as_view(), name="hash-cancel"),
    path("catalogues/<id:catalogue_id>/hash/look-up", DeepHashLookUp.as_view(), name="hash-look-up"),
    path("catalogues/<id:catalogue_id>/trainings", Trainings.as_view(), name="trainings"),
    path("trainings/<id:training_id>", TrainingDetail.as_view(), name="training"),
    path("trainings/<id:training_id>/cancel", TrainingCancel.as_view(), name="training-cancel"),
    path("items/<id:item_id>", ItemDetail.as_view(), name="item"),
    path("imports/<id:import_id>", ImportDetail.as_view(), name="import"),
    path("imports/<id:import_id>/rows", ImportRows.as_view(), name="import-rows"),
    path("private-catalogues", PrivateCatalogues.as_view(), name="private-catalogues"),
    path("private-catalogues/<id:private_id>", PrivateCatalogueDetail.as_view(), name="private-catalogue"),
    path("private-catalogues/<id:private_id>/kit", PrivateKit.as_view(), name="private-kit"),
    path("private-catalogues/<id:private_id>/blocks/<str:sha256>", PrivateBlock.as_view(), name="private-block"),
    path("private-catalogues/<id:private_id>/manifest", PrivateManifest.as_view(), name="private-manifest"),
    path("private-catalogues/<id:private_id>/questions", PrivateQuestions.as_view(), name="private-questions"),
    path("private-questions/<id:question_id>", PrivateQuestionDetail.as_view(), name="private-question"),
    path("private-questions/<id:question_id>/cancel", PrivateQuestionCancel.as_view(), name="private-question-cancel"),
    path("private-questions/<id:question_id>/answer", PrivateAnswer.as_view(), name="private-answer"),
    path("artworks", Artworks.as_view(), name="artworks"),
    path("artworks/<id:artwork_id>", ArtworkDetail.as_view(), name="artwork"),
    path("artworks/<id:artwork_id>/restore", ArtworkRestore.as_view(), name="artwork-restore"),
    path("artworks/<id:artwork_id>/cancel", ArtworkCancel.as_view(), name="artwork-cancel"),
    path("artworks/<id:artwork_id>/picture", ArtworkPicture.as_view(), name="artwork-picture"),
    path("artworks/<id:artwork_id>/record", ArtworkRecord.as_view(), name="artwork-record"),
    path("artworks/<id:artwork_id>/recipe", ArtworkRecipe.as_view(), name="artwork-recipe"),
    path("artworks/<id:artwork_id>/proofs", Proofs.as_view(), name="artwork-proofs"),
    path("proofs/<id:proof_id>", ProofDetail.as_view(), name="proof"),
    path("proofs/<id:proof_id>/picture", ProofPicture.as_view(), name="proof-picture"),
    path("works/<id:work_id>/signature", WorkSignature.as_view(), name="work-signature"),
    path("works/<id:work_id>/signature/picture", WorkSignaturePicture.as_view(), name="work-signature-picture"),
    path("signatures/read", ReadSignature.as_view(), name="signature-read"),
    path("generators", Generators.as_view(), name="generators"),
    path("generators/<id:generator_id>", GeneratorDetail.as_view(), name="generator"),
    path("generators/<id:generator_id>/restore", GeneratorRestore.as_view(), name="generator-restore"),
    path("generators/<id:generator_id>/recipe", GeneratorRecipe.as_view(), name="generator-recipe"),
    path("proofs/<id:proof_id>/difference", ProofDifference.as_view(), name="proof-difference"),
]

urlpatterns = [
    path("v1/", include((v1, "api"))),
    path("schema/", documents.schema, name="api-schema"),
    path("docs/", documents.docs, name="api-docs"),
    path("", documents.guide, name="api-guide"),
]
