"""Deep hashes: which one a catalogue uses, training one on its pictures, and looking a picture up by it."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import Scope
from webapp.api import examples_hashes as examples
from webapp.api import pictures, throttling
from webapp.api.access import Id, catalogue_of, training_of
from webapp.api.base import ApiView, key_of
from webapp.api.fields import AddressField, FailureSerializer, ProgressSerializer, StateField, address, failure_of
from webapp.api.idempotency import idempotent
from webapp.api.pagination import Order, PageQuery, page_of
from webapp.api.schema import describe
from webapp.catalogues.models import Catalogue
from webapp.deephash.models import Bits, CatalogueHash, Kind, TrainedModel
from webapp.deephash.search import codes_of
from webapp.deephash.services import (
    choices_of,
    hash_choose,
    hashing_cancel,
    model_delete,
    works_of,
)
from webapp.deephash.showing import Neighbour, Shown, show
from webapp.deephash.training import training_begin, training_now
from webapp.errors import ErrorCode
from webapp.jobs.models import FINAL_STATES, Job, JobState
from webapp.jobs.services import job_cancel
from webapp.registry.models import Work

POLL_SECONDS = 5


class HashingSerializer(serializers.Serializer[Job]):
    """The giving of codes to a catalogue's pictures."""

    state = serializers.ChoiceField(choices=JobState.choices)
    progress = ProgressSerializer(source="*")
    cancel_requested = serializers.BooleanField()
    error = serializers.SerializerMethodField(help_text="Why it stopped; null otherwise.")

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, job: Job) -> dict[str, Any] | None:
        """Return why it ended early, where it did."""
        return failure_of(job)


class HashChoiceSerializer(serializers.Serializer[Any]):
    """A deep hash that the catalogue may use."""

    algorithm = serializers.CharField()
    description = serializers.CharField(help_text="For people.")
    bits = serializers.IntegerField(help_text="Of its codes.")
    reconstructs = serializers.BooleanField(help_text="Whether it draws a picture again from its numbers.")
    training = AddressField(
        "api:training", source="model.pk", allow_null=True, help_text="Of one that was trained here; null otherwise."
    )


class DeepHashLinksSerializer(serializers.Serializer[Catalogue]):
    """Where to go on."""

    self = AddressField("api:hash")
    cancel = AddressField("api:hash-cancel")
    look_up = AddressField("api:hash-look-up")
    trainings = AddressField("api:trainings")
    page = AddressField("deephash:page", help_text="For members, on the site.")


class DeepHashSerializer(serializers.Serializer[Any]):
    """Which deep hash a catalogue uses, and how many of its pictures have their code."""

    algorithm = serializers.CharField(allow_null=True, help_text="Null where it uses none.")
    pictures = serializers.IntegerField(help_text="In the catalogue.")
    coded = serializers.IntegerField(help_text="Of them, those that have their code.")
    unreadable = serializers.IntegerField(help_text="Those that get none: their file could not be read.")
    plain = serializers.IntegerField(
        help_text="Those that get none: they are too simple, such as nearly one colour or a plain pattern."
    )
    hashing = HashingSerializer(allow_null=True, help_text="The last giving of codes; null where there was none.")
    training = AddressField(
        "api:training", source="training.pk", allow_null=True, help_text="The one under way on this catalogue."
    )
    choices = HashChoiceSerializer(many=True)
    links = DeepHashLinksSerializer(source="catalogue")


class ChosenHashSerializer(serializers.Serializer[Any]):
    """The hash that a catalogue shall use."""

    algorithm = serializers.CharField(
        allow_null=True, max_length=40, help_text="One of `choices`, or null for none; its codes are then deleted."
    )


class TrainingLinksSerializer(serializers.Serializer[TrainedModel]):
    """Where to go on."""

    self = AddressField("api:training")
    cancel = AddressField("api:training-cancel")
    hash = AddressField(
        "api:hash", source="catalogue_id", allow_null=True, help_text="Of the catalogue; null once that is deleted."
    )
    page = AddressField("deephash:page", source="catalogue_id", allow_null=True, help_text="For members, on the site.")


class EpochSerializer(serializers.Serializer[Any]):
    """How well an epoch's end drew the pictures again: mean squared error in squared grey levels, mean PSNR in dB."""

    train_mse = serializers.FloatField(help_text="Of pictures that it learns from.")
    train_psnr = serializers.FloatField()
    tune_mse = serializers.FloatField(allow_null=True, help_text="Of those that were held out.")
    tune_psnr = serializers.FloatField(allow_null=True)


class TrainingSerializer(serializers.Serializer[TrainedModel]):
    """A deep hash that learns, or has learnt, from a catalogue's pictures. Any catalogue of yours may use it."""

    id = serializers.UUIDField()
    algorithm = serializers.CharField(help_text="What to choose it by once it is trained.")
    state = StateField()
    kind = serializers.ChoiceField(choices=Kind.choices)
    bits = serializers.ChoiceField(choices=Bits.choices)
    created_at = serializers.DateTimeField()
    trained_at = serializers.DateTimeField(allow_null=True)
    pictures = serializers.IntegerField(help_text="From which it learnt.")
    held_out = serializers.IntegerField(help_text="By which it was judged, and its thresholds measured.")
    history = EpochSerializer(many=True)
    progress = ProgressSerializer(source="job")
    cancel_requested = serializers.BooleanField(source="job.cancel_requested")
    error = serializers.SerializerMethodField(help_text="Why there will be no hash; null otherwise.")
    links = TrainingLinksSerializer(source="*")

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, model: TrainedModel) -> dict[str, Any] | None:
        """Return why it failed, where it did."""
        return failure_of(model.job)


class WantedTrainingSerializer(serializers.Serializer[Any]):
    """What to train."""

    kind = serializers.ChoiceField(choices=Kind.choices, default=Kind.CON_VAE)
    bits = serializers.ChoiceField(choices=Bits.choices, default=Bits.SHORT)


class NearWorkSerializer(serializers.Serializer[Work]):
    """A registered work."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    page = AddressField("registry:work")


class NeighbourSerializer(serializers.Serializer[Neighbour]):
    """A registered picture near the one that was sent. Both are compared in grey, 128 x 128, the registered one from
    its reduced copy."""

    work = NearWorkSerializer()
    item = AddressField("api:item", source="work.catalogue_item.pk")
    distance = serializers.IntegerField(help_text="Bits that differ.")
    feature_distance = serializers.FloatField(
        source="dissimilarity", help_text="Mean squared difference of the feature vectors, which orders equal codes."
    )
    near = serializers.BooleanField(source="within", help_text="Whether it lies within `near_radius`.")
    identical = serializers.BooleanField(help_text="Whether the pictures are, or else what is compared of them.")
    psnr_db = serializers.FloatField(
        allow_null=True, help_text="Null where the two are identical, or the reduced copy could not be read."
    )
    ssim = serializers.FloatField(allow_null=True)


class LookUpSerializer(serializers.Serializer[Shown]):
    """What a deep hash makes of a picture, and the pictures that come nearest to it. A code decides nothing alone: a
    check lays both pictures over each other."""

    algorithm = serializers.CharField()
    bits = serializers.IntegerField(source="length")
    code = serializers.CharField(source="hex", help_text="In hex, first bit most significant.")
    reconstruction = serializers.CharField(
        allow_null=True,
        help_text="What the hash draws again: PNG, grey, 128 x 128, as a `data:` address; null where it draws none.",
    )
    reconstruction_psnr_db = serializers.FloatField(source="reconstruction_psnr", allow_null=True)
    near_radius = serializers.IntegerField(
        source="threshold", help_text="So many bits may differ; -1 where different pictures share codes."
    )
    near_radius_source = serializers.CharField(source="source", help_text="How that was measured.")
    measured_pairs = serializers.IntegerField(source="rate.pairs", help_text="Pairs of different pictures.")
    expected_false_at_most = serializers.FloatField(
        source="expected_false",
        help_text="Other pictures of this catalogue to expect within it by chance: the 95 % bound.",
    )
    near = serializers.BooleanField(source="registered", help_text="Whether one lies within `near_radius`.")
    results = NeighbourSerializer(source="neighbours", many=True, help_text="The five nearest, nearest first.")


def _hash_shown(catalogue: Catalogue, request: Request) -> Any:
    choice = CatalogueHash.objects.filter(catalogue=catalogue).select_related("job").first()
    whole = {
        "algorithm": choice.algorithm if choice else None,
        "pictures": works_of(catalogue).count(),
        "coded": codes_of(choice).count() if choice else 0,
        "unreadable": len(choice.unreadable) if choice else 0,
        "plain": len(choice.plain) if choice else 0,
        "hashing": choice.job if choice else None,
        "training": training_now(catalogue),
        "choices": choices_of(catalogue),
        "catalogue": catalogue,
    }
    return DeepHashSerializer(whole, context={"request": request}).data


def _training_shown(model: TrainedModel, request: Request) -> Any:
    return TrainingSerializer(model, context={"request": request}).data


class DeepHash(ApiView):
    """The deep hash of one catalogue."""

    tag = "Deep hashes"
    scopes: ClassVar = {"GET": Scope.CATALOGUE_READ, "PUT": Scope.CATALOGUE_WRITE}
    parser_classes = (JSONParser,)

    @describe(
        name="hash_read",
        summary="Read a catalogue's deep hash",
        answers={200: OpenApiResponse(DeepHashSerializer, "The deep hash.", [examples.DEEP_HASH])},
        headers=("Retry-After",),
    )
    def get(self, request: Request, catalogue_id: Id) -> Response:
        """Tell which deep hash a catalogue uses, which it may use, and how far its pictures have their codes."""
        answer = _hash_shown(catalogue_of(key_of(request).organisation, catalogue_id), request)
        waits = answer["hashing"] is not None and answer["hashing"]["state"] not in FINAL_STATES
        return Response(answer, headers={"Retry-After": str(POLL_SECONDS)} if waits else {})

    @describe(
        name="hash_choose",
        summary="Choose a catalogue's deep hash",
        request={"application/json": ChosenHashSerializer},
        answers={200: OpenApiResponse(DeepHashSerializer, "The pictures get their codes.", [examples.DEEP_HASH])},
        refusals={
            400: (ErrorCode.INVALID,),
            409: (ErrorCode.CONFLICT,),
            415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE,),
        },
    )
    @idempotent
    def put(self, request: Request, catalogue_id: Id) -> Response:
        """Let a catalogue use another deep hash, or none. The codes of the one before are deleted, and the pictures get
        theirs in the background. The hash that it uses already: what was cancelled or failed goes on.
        """
        key = key_of(request)
        catalogue = catalogue_of(key.organisation, catalogue_id)
        asked = ChosenHashSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        algorithm = asked.validated_data["algorithm"] or ""
        hash_choose(catalogue=catalogue, algorithm=algorithm, actor=None, api_key=key)
        return Response(_hash_shown(catalogue, request))


class DeepHashCancel(ApiView):
    """Stopping the giving of codes."""

    tag = "Deep hashes"
    scopes: ClassVar = {"POST": Scope.CATALOGUE_WRITE}

    @describe(
        name="hash_cancel",
        summary="Stop giving codes",
        answers={
            200: OpenApiResponse(DeepHashSerializer, "It stops as soon as it can.", [examples.DEEP_HASH_CANCELLED])
        },
        refusals={409: (ErrorCode.CONFLICT,)},
    )
    @idempotent
    def post(self, request: Request, catalogue_id: Id) -> Response:
        """Stop giving a catalogue's pictures their codes. Those that have theirs are still found; new ones wait too,
        until the hash is chosen again. No body is needed."""
        catalogue = catalogue_of(key_of(request).organisation, catalogue_id)
        hashing_cancel(catalogue=catalogue)
        return Response(_hash_shown(catalogue, request))


class DeepHashLookUp(ApiView):
    """Looking a picture up by a catalogue's deep hash."""

    tag = "Deep hashes"
    scopes: ClassVar = {"POST": Scope.CATALOGUE_READ}
    parser_classes = (MultiPartParser,)

    @describe(
        name="hash_look_up",
        summary="Look a picture up by a deep hash",
        request={"multipart/form-data": pictures.PictureSerializer},
        answers={200: OpenApiResponse(LookUpSerializer, "What comes nearest.", [examples.LOOK_UP])},
        refusals={**pictures.REFUSALS, 409: (ErrorCode.CONFLICT,), 503: (ErrorCode.GENERATOR_UNAVAILABLE,)},
    )
    @idempotent
    def post(self, request: Request, catalogue_id: Id) -> Response:
        """Return the pictures of one catalogue that come nearest to a picture by the catalogue's deep hash, and what
        the hash makes of it. The picture is not kept; with an `Idempotency-Key` this answer is, for a day. It counts as
        a check, which does more."""
        key = key_of(request)
        catalogue = catalogue_of(key.organisation, catalogue_id)
        upload = pictures.picture_sent(request)
        self.use_allowance(throttling.count_check(key))
        shown = show(catalogue=catalogue, pixels=pictures.opened(upload))
        return Response(LookUpSerializer(shown, context={"request": request}).data)


class Trainings(ApiView):
    """The deep hashes that learn, or have learnt, from one catalogue."""

    tag = "Deep hashes"
    scopes: ClassVar = {"GET": Scope.CATALOGUE_READ, "POST": Scope.CATALOGUE_WRITE}
    parser_classes = (JSONParser,)
    order = Order(TrainedModel, ("-created_at", "id"))

    @describe(
        name="trainings_list",
        summary="List trainings",
        answers={
            200: OpenApiResponse(page_of(TrainingSerializer), "A page of them, newest first.", [examples.TRAININGS])
        },
        refusals={400: (ErrorCode.INVALID,)},
        parameters=(PageQuery,),
        headers=("Link",),
    )
    def get(self, request: Request, catalogue_id: Id) -> Response:
        """List the trainings on a catalogue's pictures, newest first, those that failed or were cancelled too."""

        def show_all(models: Any) -> Any:
            return TrainingSerializer(models, many=True, context={"request": request}).data

        catalogue = catalogue_of(key_of(request).organisation, catalogue_id)
        return self.order.page(request, catalogue.trained_models.select_related("job"), show_all)

    @describe(
        name="trainings_begin",
        summary="Train a deep hash",
        request={"application/json": WantedTrainingSerializer},
        answers={202: OpenApiResponse(TrainingSerializer, "The training has begun.", [examples.TRAINING_BEGUN])},
        refusals={
            400: (ErrorCode.INVALID,),
            409: (ErrorCode.CONFLICT, ErrorCode.QUOTA_EXCEEDED),
            415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE,),
        },
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Request, catalogue_id: Id) -> Response:
        """Train a deep hash on a catalogue's own pictures, of which it needs 64 that differ. It takes minutes: follow
        `Location` until `state` is final. When it is done, the catalogue uses it.

        A tenth of the pictures is held out: by those it is judged.
        """
        key = key_of(request)
        catalogue = catalogue_of(key.organisation, catalogue_id)
        asked = WantedTrainingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        model = training_begin(catalogue=catalogue, **asked.validated_data, actor=None, api_key=key)
        return Response(
            _training_shown(model, request),
            status=202,
            headers={"Location": address(request, "api:training", model.pk)},
        )


class TrainingDetail(ApiView):
    """One training."""

    tag = "Deep hashes"
    scopes: ClassVar = {"GET": Scope.CATALOGUE_READ, "DELETE": Scope.CATALOGUE_WRITE}

    @describe(
        name="trainings_read",
        summary="Read a training",
        answers={
            200: OpenApiResponse(
                TrainingSerializer, "It as it is now.", [examples.TRAINING_RUNNING, examples.TRAINING_DONE]
            )
        },
        headers=("Retry-After",),
    )
    def get(self, request: Request, training_id: Id) -> Response:
        """Tell how far a training is, and how well the hash draws pictures again once it is done."""
        model = training_of(key_of(request).organisation, training_id)
        headers = {} if model.job.is_final else {"Retry-After": str(POLL_SECONDS)}
        return Response(_training_shown(model, request), headers=headers)

    @describe(
        name="trainings_delete",
        summary="Delete a trained hash",
        answers={204: OpenApiResponse(None, "It is deleted; catalogues that used it have no deep hash.")},
        refusals={409: (ErrorCode.CONFLICT,)},
    )
    @idempotent
    def delete(self, request: Request, training_id: Id) -> Response:
        """Delete a hash that was trained, with its codes. This cannot be undone. One that is under way must be
        cancelled first."""
        key = key_of(request)
        model_delete(model=training_of(key.organisation, training_id), actor=None, api_key=key)
        return Response(status=204)


class TrainingCancel(ApiView):
    """Stopping one training."""

    tag = "Deep hashes"
    scopes: ClassVar = {"POST": Scope.CATALOGUE_WRITE}

    @describe(
        name="trainings_cancel",
        summary="Cancel a training",
        answers={
            200: OpenApiResponse(TrainingSerializer, "It stops as soon as it can.", [examples.TRAINING_CANCELLED])
        },
        refusals={409: (ErrorCode.CONFLICT,)},
    )
    @idempotent
    def post(self, request: Request, training_id: Id) -> Response:
        """Stop a training: at once while it waits, after its present step while it runs. No body is needed."""
        model = training_of(key_of(request).organisation, training_id)
        model.job = job_cancel(job=model.job)
        return Response(_training_shown(model, request))
