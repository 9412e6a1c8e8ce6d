"""Signatures of registered pictures: have one signed, read what a picture has."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from provenance.matching.bearing import SIGNED_HASH, bearing, hasher_of
from provenance.models.errors import ModelError
from provenance.watermark.presence import LIKELY
from webapp import files
from webapp.accounts.models import Scope
from webapp.api import examples_signatures as examples
from webapp.api import pictures, throttling
from webapp.api.access import Id, signed_work_of
from webapp.api.base import ApiView, key_of
from webapp.api.fields import AddressField, FailureSerializer, address, failure_of
from webapp.api.idempotency import idempotent
from webapp.api.schema import describe
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.registry.models import Work
from webapp.signatures.keys import false_acceptance
from webapp.signatures.models import Kind, SignatureCode
from webapp.signatures.selectors import Looked, code_of, look, work_code
from webapp.signatures.services import code_revoke, signing_begin
from webapp.signatures.signing import has_copy, signed_key, unavailable

POLL_SECONDS = 1
SIGNING_STATES = [
    ("signing", "The copy is being made."),
    ("ready", "The copy can be fetched."),
    ("failed", "The copy could not be made; see `error`."),
    ("gone", "The copy was deleted after a day. Have it made again: it gets the same number."),
]
STANDINGS = [
    ("none", "No signature of this site was found."),
    ("traces", "Probably signed, but nothing can be read: edits damaged it, or it is not this site's."),
    ("work", "It points to a registered work."),
    ("generator", "It is a generator's: by its maker's word, AI made the picture."),
    ("revoked", "It was revoked and points to nothing."),
    ("deleted", "The record that it points to was deleted."),
]

SAME_PICTURE = [
    ("yes", "It is, as near as its hash is."),
    ("unclear", "It may be a part of it or altered, or another one. A check lays the two over each other and decides."),
]


class SignedWorkLinksSerializer(serializers.Serializer[SignatureCode]):
    """Where to go on."""

    self = AddressField("api:work-signature", source="work_id")
    picture = AddressField("api:work-signature-picture", source="work_id")
    page = AddressField("signatures:work", source="work_id", help_text="For members, on the site.")


class SignedWorkSerializer(serializers.Serializer[SignatureCode]):
    """The signature of a registered work."""

    number = serializers.IntegerField(min_value=0, max_value=(1 << 24) - 1)
    state = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    error = serializers.SerializerMethodField(help_text="Why there is no copy; null otherwise.")
    links = SignedWorkLinksSerializer(source="*")

    @extend_schema_field(serializers.ChoiceField(choices=SIGNING_STATES))
    def get_state(self, code: SignatureCode) -> str:
        """Return how the signed copy is."""
        if has_copy(code):
            return "ready"
        if code.job is None or code.job.state == "succeeded":
            return "gone"
        return "failed" if code.job.is_final else "signing"

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, code: SignatureCode) -> dict[str, Any] | None:
        """Return why the copy could not be made."""
        return None if code.job is None or has_copy(code) else failure_of(code.job)


class WorkSignature(ApiView):
    """The signature of one registered work."""

    tag = "Signatures"
    scopes: ClassVar = {
        "GET": Scope.SIGNATURE_READ,
        "POST": Scope.SIGNATURE_WRITE,
        "DELETE": Scope.SIGNATURE_WRITE,
    }

    @describe(
        name="work_signature_read",
        summary="Read a work's signature",
        answers={200: OpenApiResponse(SignedWorkSerializer, "The signature.", [examples.SIGNED_WORK])},
        headers=("Retry-After",),
    )
    def get(self, request: Request, work_id: Id) -> Response:
        """Tell a work's number and whether its signed copy is there. A work that was never signed has none (404)."""
        code = _code(request, work_id)
        waits = code.job is not None and not code.job.is_final
        return Response(_shown(code, request), headers={"Retry-After": str(POLL_SECONDS)} if waits else {})

    @describe(
        name="work_sign",
        summary="Have a work signed",
        answers={202: OpenApiResponse(SignedWorkSerializer, "It is being signed.", [examples.SIGNING_BEGUN])},
        refusals={422: (ErrorCode.CANNOT_BE_SIGNED,)},
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Request, work_id: Id) -> Response:
        """Have a signed copy made of a registered picture; the original stays as it is. No body is needed.

        Follow `Location` until `state` is `ready`, then fetch `links.picture`. A work keeps its number.
        """
        key = key_of(request)
        signing_begin(work=signed_work_of(key.organisation, work_id), actor=None, api_key=key)
        where = address(request, "api:work-signature", work_id)
        return Response(_shown(_code(request, work_id), request), status=202, headers={"Location": where})

    @describe(
        name="work_signature_revoke",
        summary="Revoke a work's signature",
        answers={204: OpenApiResponse(None, "Checks that read it say that it was revoked.")},
    )
    @idempotent
    def delete(self, request: Request, work_id: Id) -> Response:
        """Revoke the signature in force. Signed again, the work gets another number."""
        code_revoke(code=_code(request, work_id), actor=None, api_key=key_of(request))
        return Response(status=204)


class WorkSignaturePicture(ApiView):
    """The signed copy of one registered work."""

    tag = "Signatures"
    scopes: ClassVar = {"GET": Scope.SIGNATURE_READ}

    @describe(
        name="work_signature_picture",
        summary="Fetch the signed copy",
        answers={(200, "image/png"): OpenApiResponse(OpenApiTypes.BINARY, "The signed copy, pixels only.")},
        refusals={409: (ErrorCode.CONFLICT,)},
    )
    def get(self, request: Request, work_id: Id) -> HttpResponse:
        """Return the signed copy as PNG, once the signature's `state` is `ready` (409 before). It is kept for a day;
        then have it made again."""
        try:
            data = files.read(Area.SIGNATURES, signed_key(_code(request, work_id)))
        except FileNotFoundError:
            message = _(
                "There is no signed copy now. While the signature's state is “signing”, ask for it again until it is "
                "“ready”; otherwise have the work signed again: it keeps its number."
            )
            raise ProductError(ErrorCode.CONFLICT, message, status=409) from None
        return HttpResponse(data, content_type="image/png")


class PointedWorkSerializer(serializers.Serializer[Any]):
    """The record that a signature points to."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    page = serializers.URLField()


class PlacementSerializer(serializers.Serializer[Any]):
    """How the picture lies since it was signed."""

    turned_degrees = serializers.FloatField(help_text="Counterclockwise.")
    magnified = serializers.FloatField(help_text="How much larger its parts are, beside the picture's area.")
    mirrored = serializers.BooleanField()
    fit = serializers.FloatField(help_text="Of the bits that were read with those that were written, -1 to 1.")


class DistanceSerializer(serializers.Serializer[Any]):
    """How far the picture's perceptual hash is from the record's."""

    hash_algorithm = serializers.CharField()
    distance = serializers.IntegerField(help_text="Hamming distance.")
    bits = serializers.IntegerField()
    near_radius = serializers.IntegerField(help_text="Up to here it is all but surely the same picture.")
    candidate_radius = serializers.IntegerField(
        help_text="Past here it is another picture, to which the signature was copied, or altered beyond recognition."
    )
    different_within_candidate_radius = serializers.FloatField(help_text="Share of different pictures, measured.")
    different_within_candidate_radius_at_most = serializers.FloatField(help_text="Its 95 % bound.")


class ReadingSerializer(serializers.Serializer[Any]):
    """What a picture's signature says. It is a pointer, not a proof."""

    standing = serializers.ChoiceField(choices=STANDINGS)
    false_acceptance = serializers.FloatField(help_text="Chance of reading one where there is none.")
    presence = serializers.FloatField(
        min_value=0, max_value=1, help_text="Probability that it was signed at all, here or elsewhere; calibrated."
    )
    number = serializers.IntegerField(allow_null=True)
    organisation = serializers.CharField(allow_null=True, help_text="To which the number was given.")
    generator = serializers.CharField(allow_null=True)
    work = PointedWorkSerializer(allow_null=True)
    placement = PlacementSerializer(allow_null=True)
    same_picture = serializers.ChoiceField(
        choices=SAME_PICTURE,
        allow_null=True,
        help_text="Whether this is the work's own picture, by its hash. A signature can be copied onto another one: do "
        "not credit the work before you know. Null where it points to no work.",
    )
    distance = DistanceSerializer(allow_null=True, help_text="Null where one of the pictures is too simple.")


class ReadSignature(ApiView):
    """Reading the signature of a picture."""

    tag = "Signatures"
    scopes: ClassVar = {"POST": Scope.SIGNATURE_READ}
    parser_classes = (MultiPartParser,)

    @describe(
        name="signature_read",
        summary="Read a picture's signature",
        request={"multipart/form-data": pictures.PictureSerializer},
        answers={200: OpenApiResponse(ReadingSerializer, "What it says.", [examples.READING, examples.NO_READING])},
        refusals={**pictures.REFUSALS, 503: (ErrorCode.SIGNATURES_UNAVAILABLE,)},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Read a picture's signature and hold the picture's hash against the record that it points to. The picture is
        not kept. It counts as a check.

        A check does more: it lays the picture over the record's, and where much is shown around that, as in a
        screenshot, it reads the part. That a picture has no signature says nothing.
        """
        upload = pictures.picture_sent(request)
        self.use_allowance(throttling.count_check(key_of(request)))
        pixels = pictures.opened(upload)
        try:
            return Response(ReadingSerializer(_reading(request, pixels, look(pixels))).data)
        except ModelError as error:
            raise unavailable() from error


def _reading(request: Request, pixels: Any, looked: Looked) -> dict[str, Any]:
    pointer = looked.pointer
    parts = ("number", "organisation", "generator", "work", "placement", "same_picture", "distance")
    answer: dict[str, Any] = dict.fromkeys(parts)
    answer |= {"standing": "none", "false_acceptance": false_acceptance(), "presence": round(looked.presence, 4)}
    if pointer is None:
        return {**answer, "standing": "traces"} if looked.presence >= LIKELY else answer
    code, work = pointer.code, pointer.code.work
    answer |= {
        "number": code.number,
        "organisation": code.organisation.name,
        "generator": code.name or None,
        "placement": pointer.placement(),
    }
    if code.revoked_at is not None:
        return {**answer, "standing": "revoked"}
    if code.kind == Kind.GENERATOR:
        return {**answer, "standing": "generator"}
    if work is None or work.deleted_at is not None:
        return {**answer, "standing": "deleted"}
    page = address(request, "registry:work", work.pk)
    answer |= {"standing": "work", "work": {"id": work.pk, "title": work.title, "page": page}}
    answer["same_picture"] = "unclear"
    original, hasher = work_code(work), hasher_of(SIGNED_HASH)
    if original is not None and hasher.hash([pixels])[0].usable:
        found = bearing(hasher.hash_dihedral(pixels), original).figures()
        answer |= {"distance": found, "same_picture": "yes" if found["distance"] <= found["near_radius"] else "unclear"}
    return answer


def _code(request: Request, work_id: Id) -> SignatureCode:
    work: Work = signed_work_of(key_of(request).organisation, work_id)
    code = code_of(work)
    if code is None:
        raise Http404
    return code


def _shown(code: SignatureCode, request: Request) -> Any:
    return SignedWorkSerializer(code, context={"request": request}).data
