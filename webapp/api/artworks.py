"""Artworks: have a picture generated from two keys, read it, change it, delete it and undo that."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404, HttpResponse
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from provenance.artwork.recipe import DEFAULT_EXCLUSIONS, MAX_PROMPT
from provenance.artwork.recipe import Mode as Arithmetic
from webapp.accounts.models import Scope
from webapp.api import examples_artworks as examples
from webapp.api.access import Id, artwork_of, artworks_of
from webapp.api.base import ApiView, key_of
from webapp.api.fields import AddressField, FailureSerializer, ProgressSerializer, StateField, address, failure_of
from webapp.api.idempotency import idempotent
from webapp.api.pagination import Order, PageQuery, page_of
from webapp.api.schema import describe
from webapp.artworks.library import PRESET_WORDS, Wish, exclusions_of, signature_of
from webapp.artworks.models import Artwork, Mode
from webapp.artworks.pictures import read_or_404
from webapp.artworks.services import artwork_create, artwork_delete, artwork_edit, artwork_restore
from webapp.artworks.storage import Part
from webapp.artworks.storage import key_of as file_key
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.services import job_cancel
from webapp.registry.models import Visibility

# An iteration takes about this long.
POLL_SECONDS = 2
RECIPE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "How a work is made, down to the digests of the models; its keys as commitments.",
    "additionalProperties": True,
}
RECORD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Recipe, codes and digests, with which the picture can be decoded and proved without this site.",
    "properties": {
        "recipe": {"type": "object", "additionalProperties": True},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "codes": {"type": "string", "description": "Big-endian 16-bit numbers in base 64."},
        "latent_sha256": {"type": "string"},
        "pixel_sha256": {"type": "string"},
    },
    "required": ["recipe", "shape", "codes", "latent_sha256", "pixel_sha256"],
}


class PromptField(serializers.CharField):
    """The first of the two keys."""

    def __init__(self) -> None:
        # What is wrong with it is said by the service, in one sentence for all who ask.
        super().__init__(
            allow_blank=True,
            trim_whitespace=False,
            help_text=f"The words, at most {MAX_PROMPT:,} characters. They will have to be given again.",
        )


class SignatureField(serializers.FileField):
    """The second of the two keys."""

    def __init__(self) -> None:
        super().__init__(
            allow_empty_file=True,
            help_text="Any file. Of a picture its pixels are the key, of anything else its bytes. It is not kept.",
        )

    def get_value(self, dictionary: Any) -> Any:
        """Return the file that was sent.

        Raises:
            ProductError: there are several, and the key would be one of them only.
        """
        # A request without a body has a plain dict.
        if isinstance(dictionary, MultiValueDict) and len(dictionary.getlist(self.field_name)) > 1:
            message = _("Several signature files came. Send one.")
            raise ProductError(ErrorCode.TOO_MANY_FILES, message, fields={"signature": [message]})
        return super().get_value(dictionary)


class GenerationSerializer(serializers.Serializer[Any]):
    """A picture to generate."""

    prompt = PromptField()
    signature = SignatureField()
    title = serializers.CharField(max_length=200, help_text="Public. Keep the words of the prompt out of it.")
    preset = serializers.ChoiceField(choices=list(PRESET_WORDS.items()), default="standard")
    mode = serializers.ChoiceField(choices=Mode.choices, default=Mode.CANONICAL)
    exclusions = serializers.CharField(
        required=False,
        allow_blank=True,
        default=", ".join(DEFAULT_EXCLUSIONS),
        help_text="What the picture is to keep away from: words or phrases with commas between. Public.",
    )
    visibility = serializers.ChoiceField(choices=Visibility.choices, default=Visibility.PUBLIC)


class ArtworkChangeSerializer(serializers.Serializer[Any]):
    """What may be changed; what is left out stays."""

    title = serializers.CharField(required=False, max_length=200)
    visibility = serializers.ChoiceField(required=False, choices=Visibility.choices)


class ArtworkLinksSerializer(serializers.Serializer[Artwork]):
    """Where to go on."""

    self = AddressField("api:artwork")
    picture = AddressField("api:artwork-picture", help_text="Answers 404 until there is one.")
    record = AddressField("api:artwork-record", help_text="Answers 404 until there is one.")
    recipe = AddressField("api:artwork-recipe")
    proofs = AddressField("api:artwork-proofs")
    page = AddressField("artworks:detail", help_text="For people.")


class ArtworkSerializer(serializers.Serializer[Artwork]):
    """A picture that is generated from two keys. Neither of them is kept or shown."""

    id = serializers.UUIDField()
    state = StateField()
    title = serializers.CharField()
    visibility = serializers.ChoiceField(choices=Visibility.choices)
    preset = serializers.CharField()
    mode = serializers.ChoiceField(
        choices=Mode.choices, help_text="Only a canonical picture can be proved to be identical."
    )
    created_at = serializers.DateTimeField()
    generated_at = serializers.DateTimeField(allow_null=True)
    recipe_digest = serializers.CharField(help_text="SHA-256 of the recipe's canonical JSON (RFC 8785), in hex.")
    pixel_sha256 = serializers.CharField(allow_blank=True, help_text="Of the picture's samples; empty until then.")
    latent_sha256 = serializers.CharField(allow_blank=True, help_text="Of the last latent; empty until then.")
    progress = ProgressSerializer(source="job")
    cancel_requested = serializers.BooleanField(source="job.cancel_requested")
    error = serializers.SerializerMethodField(help_text="Why there will be no picture; null otherwise.")
    links = ArtworkLinksSerializer(source="*")

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, artwork: Artwork) -> dict[str, Any] | None:
        """Return why it failed, where it did."""
        return failure_of(artwork.job)


def _shown(artwork: Artwork, request: Request) -> Any:
    return ArtworkSerializer(artwork, context={"request": request}).data


class Artworks(ApiView):
    """All artworks of an organisation."""

    tag = "Artworks"
    scopes: ClassVar = {"GET": Scope.ARTWORK_READ, "POST": Scope.ARTWORK_WRITE}
    parser_classes = (MultiPartParser,)
    order = Order(Artwork, ("-created_at", "id"))

    @describe(
        name="artworks_list",
        summary="List artworks",
        answers={
            200: OpenApiResponse(page_of(ArtworkSerializer), "A page of artworks, newest first.", [examples.ARTWORKS])
        },
        refusals={400: (ErrorCode.INVALID,)},
        parameters=(PageQuery,),
        headers=("Link",),
    )
    def get(self, request: Request) -> Response:
        """List your organisation's artworks, newest first."""

        def show(artworks: Any) -> Any:
            return ArtworkSerializer(artworks, many=True, context={"request": request}).data

        return self.order.page(request, artworks_of(key_of(request).organisation), show)

    @describe(
        name="artworks_generate",
        summary="Generate a picture",
        request={"multipart/form-data": GenerationSerializer},
        answers={202: OpenApiResponse(ArtworkSerializer, "The generation has begun.", [examples.ARTWORK_BEGUN])},
        refusals={
            400: (ErrorCode.INVALID, ErrorCode.FILE_EMPTY, ErrorCode.TOO_MANY_FILES),
            413: (ErrorCode.FILE_TOO_LARGE, ErrorCode.TOO_MANY_FILES, ErrorCode.QUOTA_EXCEEDED),
            415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE, ErrorCode.PICTURE_UNREADABLE),
            503: (ErrorCode.GENERATOR_UNAVAILABLE,),
        },
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Have a picture generated from a prompt and a signature file, and registered. It takes minutes: follow
        `Location` until `state` is final.

        Keep both keys: whoever has them, and nobody else, can have the same picture made again. Here they are kept,
        sealed, only while it is made. Artworks and proofs count together against an hourly limit of your key.
        """
        asked = GenerationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        key = key_of(request)
        artwork = artwork_create(
            organisation=key.organisation,
            owner=None,
            title=given["title"],
            prompt=given["prompt"],
            signature=signature_of(given["signature"]),
            wish=Wish(given["preset"], Arithmetic(given["mode"]), exclusions_of(given["exclusions"])),
            visibility=given["visibility"],
            api_key=key,
        )
        return Response(
            _shown(artwork, request), status=202, headers={"Location": address(request, "api:artwork", artwork.pk)}
        )


class ArtworkDetail(ApiView):
    """One artwork."""

    tag = "Artworks"
    scopes: ClassVar = {
        "GET": Scope.ARTWORK_READ,
        "PATCH": Scope.ARTWORK_WRITE,
        "DELETE": Scope.ARTWORK_WRITE,
    }
    parser_classes = (JSONParser,)

    @describe(
        name="artworks_read",
        summary="Read an artwork",
        answers={
            200: OpenApiResponse(
                ArtworkSerializer, "The artwork as it is now.", [examples.ARTWORK_RUNNING, examples.ARTWORK_DONE]
            )
        },
        headers=("Retry-After",),
    )
    def get(self, request: Request, artwork_id: Id) -> Response:
        """Tell how far an artwork is, and its digests once there is a picture."""
        artwork = artwork_of(key_of(request).organisation, artwork_id)
        headers = {} if artwork.job.is_final else {"Retry-After": str(POLL_SECONDS)}
        return Response(_shown(artwork, request), headers=headers)

    @describe(
        name="artworks_change",
        summary="Change an artwork",
        request={"application/json": ArtworkChangeSerializer},
        answers={200: OpenApiResponse(ArtworkSerializer, "The artwork, changed.", [examples.ARTWORK_DONE])},
        refusals={400: (ErrorCode.INVALID,), 415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE,)},
    )
    @idempotent
    def patch(self, request: Request, artwork_id: Id) -> Response:
        """Change what it is called and what others see of it. What is left out stays as it is."""
        key = key_of(request)
        artwork = artwork_of(key.organisation, artwork_id)
        asked = ArtworkChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        kept = {"title": artwork.title, "visibility": artwork.visibility}
        artwork_edit(artwork=artwork, **{**kept, **asked.validated_data}, actor=None, api_key=key)
        return Response(_shown(artwork_of(key.organisation, artwork_id), request))

    @describe(
        name="artworks_delete",
        summary="Delete an artwork",
        answers={204: OpenApiResponse(None, "It is deleted.")},
    )
    @idempotent
    def delete(self, request: Request, artwork_id: Id) -> Response:
        """Delete an artwork with its registered picture. For a while it can be restored.

        One that has no picture is gone at once; if it is on its way, it is cancelled.
        """
        key = key_of(request)
        artwork_delete(artwork=artwork_of(key.organisation, artwork_id), actor=None, api_key=key)
        return Response(status=204)


class ArtworkRestore(ApiView):
    """Undoing the deletion of one artwork."""

    tag = "Artworks"
    scopes: ClassVar = {"POST": Scope.ARTWORK_WRITE}

    @describe(
        name="artworks_restore",
        summary="Restore an artwork",
        answers={200: OpenApiResponse(ArtworkSerializer, "It is registered again.", [examples.ARTWORK_DONE])},
        refusals={409: (ErrorCode.CONFLICT,), 413: (ErrorCode.QUOTA_EXCEEDED,)},
    )
    @idempotent
    def post(self, request: Request, artwork_id: Id) -> Response:
        """Undo a deletion. No body is needed."""
        key = key_of(request)
        artwork_restore(artwork=artwork_of(key.organisation, artwork_id, deleted=True), actor=None, api_key=key)
        return Response(_shown(artwork_of(key.organisation, artwork_id), request))


class ArtworkCancel(ApiView):
    """Stopping the generation of one artwork."""

    tag = "Artworks"
    scopes: ClassVar = {"POST": Scope.ARTWORK_WRITE}

    @describe(
        name="artworks_cancel",
        summary="Cancel a generation",
        answers={200: OpenApiResponse(ArtworkSerializer, "It stops as soon as it can.", [examples.ARTWORK_CANCELLED])},
        refusals={409: (ErrorCode.CONFLICT,)},
    )
    @idempotent
    def post(self, request: Request, artwork_id: Id) -> Response:
        """Stop a generation: at once while it waits, after the present iteration while it runs. No body is needed."""
        artwork = artwork_of(key_of(request).organisation, artwork_id)
        artwork.job = job_cancel(job=artwork.job)
        return Response(_shown(artwork, request))


class ArtworkPicture(ApiView):
    """The picture of one artwork."""

    tag = "Artworks"
    scopes: ClassVar = {"GET": Scope.ARTWORK_READ}

    @describe(
        name="artworks_picture",
        summary="Fetch the picture",
        answers={(200, "image/png"): OpenApiResponse(OpenApiTypes.BINARY, "The picture, without loss.")},
    )
    def get(self, request: Request, artwork_id: Id) -> HttpResponse:
        """Return the picture as PNG, bit for bit as it was generated."""
        artwork = artwork_of(key_of(request).organisation, artwork_id)
        if artwork.work is None:
            raise Http404
        return HttpResponse(read_or_404(Area.WORKS, artwork.work.sha256), content_type="image/png")


class ArtworkRecord(ApiView):
    """The record of one artwork."""

    tag = "Artworks"
    scopes: ClassVar = {"GET": Scope.ARTWORK_READ}

    @describe(
        name="artworks_record",
        summary="Fetch the record",
        answers={200: OpenApiResponse(RECORD_SCHEMA, "The record.", [examples.RECORD])},
    )
    def get(self, request: Request, artwork_id: Id) -> HttpResponse:
        """Return recipe, codes and digests: what `provenance prove` needs beside the picture and the two keys."""
        artwork = artwork_of(key_of(request).organisation, artwork_id)
        record = read_or_404(Area.ARTWORKS, file_key(artwork.pk, Part.RECORD))
        return HttpResponse(record, content_type="application/json")


class ArtworkRecipe(ApiView):
    """The recipe of one artwork."""

    tag = "Artworks"
    scopes: ClassVar = {"GET": Scope.ARTWORK_READ}

    @describe(
        name="artworks_recipe",
        summary="Fetch the recipe",
        answers={200: OpenApiResponse(RECIPE_SCHEMA, "The recipe.", [examples.RECIPE])},
    )
    def get(self, request: Request, artwork_id: Id) -> HttpResponse:
        """Return the recipe as canonical JSON (RFC 8785): `recipe_digest` is the SHA-256 of these bytes.

        It is public once the artwork is registered. Both keys are in it as salted commitments only.
        """
        artwork = artwork_of(key_of(request).organisation, artwork_id)
        return HttpResponse(artwork.recipe.encode(), content_type="application/json")
