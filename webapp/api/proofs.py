"""Proofs: have an artwork made again from two keys, and read what came out."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import Scope
from webapp.api import examples_artworks as examples
from webapp.api.access import Id, artwork_of, proof_of, proofs_of
from webapp.api.artworks import POLL_SECONDS, PromptField, SignatureField
from webapp.api.base import ApiView, key_of
from webapp.api.fields import AddressField, FailureSerializer, ProgressSerializer, StateField, address, failure_of
from webapp.api.idempotency import idempotent
from webapp.api.pagination import Order, PageQuery, page_of
from webapp.api.schema import describe
from webapp.artworks.library import signature_of
from webapp.artworks.models import Proof
from webapp.artworks.pictures import read_or_404
from webapp.artworks.proofs import proof_create
from webapp.artworks.storage import Part
from webapp.artworks.storage import key_of as file_key
from webapp.errors import ErrorCode
from webapp.files import Area


class ProofSubmissionSerializer(serializers.Serializer[Any]):
    """The two keys."""

    prompt = PromptField()
    signature = SignatureField()


class ProofLinksSerializer(serializers.Serializer[Proof]):
    """Where to go on."""

    self = AddressField("api:proof")
    artwork = AddressField("api:artwork", source="artwork_id")
    picture = AddressField("api:proof-picture", help_text="What was made. Answers 404 until there is a verdict.")
    difference = AddressField("api:proof-difference", help_text="Answers 404 until there is a verdict.")
    page = serializers.SerializerMethodField(help_text="For people, with both pictures.")

    @extend_schema_field(serializers.URLField())
    def get_page(self, proof: Proof) -> str:
        """Return the address of its page."""
        return address(self.context["request"], "artworks:proof", proof.artwork_id, proof.pk)


class ProofSerializer(serializers.Serializer[Proof]):
    """One attempt to make a work again. Right keys give the same picture bit for bit, others another one."""

    id = serializers.UUIDField()
    state = StateField()
    created_at = serializers.DateTimeField()
    prompt_fits = serializers.BooleanField(help_text="Whether the prompt is the one that the recipe commits to.")
    key_fits = serializers.BooleanField(help_text="Whether the signature's key is.")
    file_fits = serializers.BooleanField(help_text="Whether the signature is the very file, byte for byte.")
    redecoded = serializers.BooleanField(
        allow_null=True,
        help_text="Whether the registered codes still decode to the registered picture; null at first.",
    )
    verdict = serializers.CharField(
        allow_blank=True, help_text="`identical`, `near` or `different`; empty until there is one."
    )
    codes_equal = serializers.BooleanField(allow_null=True)
    latent_equal = serializers.BooleanField(allow_null=True)
    psnr_db = serializers.FloatField(allow_null=True, help_text="Null where the pictures are identical, or not yet.")
    ssim = serializers.FloatField(allow_null=True, help_text="-1 to 1.")
    equal_share = serializers.FloatField(allow_null=True, help_text="Pixels equal in all channels, 0 to 1.")
    hash_distance = serializers.IntegerField(
        allow_null=True, help_text="Bits, of 256, in which the pictures' hashes (`pdq-v1`) differ."
    )
    pixel_sha256 = serializers.CharField(allow_blank=True, help_text="Of what was made; empty until then.")
    progress = ProgressSerializer(source="job")
    error = serializers.SerializerMethodField(help_text="Why there will be no verdict; null otherwise.")
    links = ProofLinksSerializer(source="*")

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, proof: Proof) -> dict[str, Any] | None:
        """Return why it failed, where it did."""
        return failure_of(proof.job)


class Proofs(ApiView):
    """The proofs that were tried on one artwork."""

    tag = "Artworks"
    scopes: ClassVar = {"GET": Scope.ARTWORK_READ, "POST": Scope.ARTWORK_WRITE}
    parser_classes = (MultiPartParser,)
    order = Order(Proof, ("-created_at", "id"))

    @describe(
        name="proofs_list",
        summary="List proofs",
        answers={200: OpenApiResponse(page_of(ProofSerializer), "A page of proofs, newest first.", [examples.PROOFS])},
        refusals={400: (ErrorCode.INVALID,)},
        parameters=(PageQuery,),
        headers=("Link",),
    )
    def get(self, request: Request, artwork_id: Id) -> Response:
        """List the proofs that were tried on an artwork, newest first."""
        artwork = artwork_of(key_of(request).organisation, artwork_id)

        def show(proofs: Any) -> Any:
            return ProofSerializer(proofs, many=True, context={"request": request}).data

        return self.order.page(request, proofs_of(artwork), show)

    @describe(
        name="proofs_begin",
        summary="Prove an artwork",
        request={"multipart/form-data": ProofSubmissionSerializer},
        answers={202: OpenApiResponse(ProofSerializer, "The work is being made again.", [examples.PROOF_BEGUN])},
        refusals={
            400: (ErrorCode.INVALID, ErrorCode.FILE_EMPTY, ErrorCode.TOO_MANY_FILES),
            409: (ErrorCode.CONFLICT,),
            410: (ErrorCode.GONE,),
            413: (ErrorCode.FILE_TOO_LARGE, ErrorCode.TOO_MANY_FILES),
            415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE, ErrorCode.PICTURE_UNREADABLE),
        },
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Request, artwork_id: Id) -> Response:
        """Have a registered work made again from a prompt and a signature file, and compared.

        The answer says at once which of the two the recipe commits to. The picture is made from them all the same;
        follow `Location` until `state` is final.
        """
        key = key_of(request)
        artwork = artwork_of(key.organisation, artwork_id)
        asked = ProofSubmissionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        proof = proof_create(
            artwork=artwork,
            prompt=asked.validated_data["prompt"],
            signature=signature_of(asked.validated_data["signature"]),
            prover=None,
            organisation=key.organisation,
            api_key=key,
        )
        return Response(
            ProofSerializer(proof, context={"request": request}).data,
            status=202,
            headers={"Location": address(request, "api:proof", proof.pk)},
        )


class ProofDetail(ApiView):
    """One proof."""

    tag = "Artworks"
    scopes: ClassVar = {"GET": Scope.ARTWORK_READ}

    @describe(
        name="proofs_read",
        summary="Read a proof",
        answers={200: OpenApiResponse(ProofSerializer, "The proof as it is now.", [examples.PROOF_DONE])},
        headers=("Retry-After",),
    )
    def get(self, request: Request, proof_id: Id) -> Response:
        """Tell how far a proof is, and its verdict with the figures once there is one."""
        proof = proof_of(key_of(request).organisation, proof_id)
        headers = {} if proof.job.is_final else {"Retry-After": str(POLL_SECONDS)}
        return Response(ProofSerializer(proof, context={"request": request}).data, headers=headers)


class ProofPicture(ApiView):
    """The picture that one proof made."""

    tag = "Artworks"
    scopes: ClassVar = {"GET": Scope.ARTWORK_READ}

    @describe(
        name="proofs_picture",
        summary="Fetch what a proof made",
        answers={(200, "image/png"): OpenApiResponse(OpenApiTypes.BINARY, "The picture, without loss.")},
    )
    def get(self, request: Request, proof_id: Id) -> HttpResponse:
        """Return the picture that came out of the two keys, as PNG."""
        return _file(request, proof_id, Part.MADE)


class ProofDifference(ApiView):
    """Where the picture that one proof made differs from the registered one."""

    tag = "Artworks"
    scopes: ClassVar = {"GET": Scope.ARTWORK_READ}

    @describe(
        name="proofs_difference",
        summary="Fetch the difference",
        answers={(200, "image/png"): OpenApiResponse(OpenApiTypes.BINARY, "Black is nowhere, pale yellow the most.")},
    )
    def get(self, request: Request, proof_id: Id) -> HttpResponse:
        """Return where the picture that came out differs from the registered one, as PNG."""
        return _file(request, proof_id, Part.DIFFERENCE)


def _file(request: Request, proof_id: Id, part: Part) -> HttpResponse:
    proof = proof_of(key_of(request).organisation, proof_id)
    return HttpResponse(read_or_404(Area.ARTWORKS, file_key(proof.pk, part)), content_type="image/png")
