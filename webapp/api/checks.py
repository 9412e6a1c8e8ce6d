"""Checks: send a picture, watch, read the verdict with its evidence, fetch the receipt."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import Scope
from webapp.api import examples, throttling
from webapp.api.access import Id, check_of, checks_of
from webapp.api.base import ApiView, key_of
from webapp.api.fields import AddressField, FailureSerializer, ProgressSerializer, StateField, address, failure_of
from webapp.api.idempotency import idempotent
from webapp.api.pagination import Order, PageQuery, page_of
from webapp.api.schema import describe
from webapp.checks.models import Check, Evidence, EvidenceKind, Outcome, Verdict
from webapp.checks.receipt import receipt_bytes
from webapp.checks.selectors import evidence_of, is_answered
from webapp.checks.services import check_delete, check_submit
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.services import job_cancel
from webapp.private.examiners import MOST_ASKED

# In this many seconds a check that is under way may have moved on.
POLL_SECONDS = 1


class CheckedFileSerializer(serializers.Serializer[Check]):
    """The picture that was sent."""

    name = serializers.CharField(source="filename", help_text="As its sender called it.")
    sha256 = serializers.CharField(help_text="Of the file, in hex (FIPS 180-4).")
    byte_size = serializers.IntegerField()
    media_type = serializers.CharField(help_text="By its bytes, whatever it was sent as.")
    width = serializers.IntegerField(allow_null=True, help_text="Pixels, upright; null until it is opened.")
    height = serializers.IntegerField(allow_null=True)
    kept_until = serializers.SerializerMethodField(help_text="When it is deleted; null once it is.")

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_kept_until(self, check: Check) -> Any:
        """Return the end of the file's time."""
        return None if check.file_deleted_at else serializers.DateTimeField().to_representation(check.expires_at)


class VerdictSerializer(serializers.Serializer[Check]):
    """The answer. It is never an accusation: a registered picture may be used with its owner's leave."""

    code = serializers.ChoiceField(choices=Verdict.choices, source="verdict")
    label = serializers.CharField(  # type: ignore[assignment]  # a field of that name hides Field.label
        source="get_verdict_display", help_text="The same in words."
    )
    explanation = serializers.CharField(help_text="Sentences that say on which grounds.")
    registry_size = serializers.IntegerField(help_text="How many works were registered when this was asked.")
    algorithms = serializers.DictField(
        child=serializers.CharField(), help_text="Part -> version that gave this verdict."
    )


class EvidenceSerializer(serializers.Serializer[Evidence]):
    """One finding, with its figures."""

    kind = serializers.ChoiceField(choices=EvidenceKind.choices)
    ordinal = serializers.IntegerField(help_text="Tells findings of one kind apart.")
    outcome = serializers.ChoiceField(choices=Outcome.choices)
    summary = serializers.CharField(help_text="The finding in one sentence.")
    version = serializers.CharField(help_text="Of the algorithm that found it.")
    figures = serializers.DictField(
        source="data",
        help_text=(
            "Distances, thresholds, chances of error, overlap: what the finding rests on. Which there are depends on"
            " `kind` and `version`, and stays so for a version."
        ),
    )


class CheckLinksSerializer(serializers.Serializer[Check]):
    """Where to go on."""

    self = AddressField("api:check")
    receipt = AddressField("api:check-receipt", help_text="Answers 409 until there is a verdict.")
    page = AddressField("checks:detail", help_text="For people. Whoever has this link sees the verdict.")


class CheckSummarySerializer(serializers.Serializer[Check]):
    """A check, as lists have it."""

    id = serializers.UUIDField()
    state = StateField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(source="job.finished_at", allow_null=True)
    file = CheckedFileSerializer(source="*")
    verdict = serializers.SerializerMethodField(help_text="Null until there is one.")
    error = serializers.SerializerMethodField(help_text="Why there will be no verdict; null otherwise.")
    links = CheckLinksSerializer(source="*")

    @extend_schema_field(VerdictSerializer(allow_null=True))
    def get_verdict(self, check: Check) -> Any:
        """Return the verdict, where it stands."""
        return VerdictSerializer(check).data if is_answered(check) else None

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, check: Check) -> dict[str, Any] | None:
        """Return why it failed, where it did."""
        return failure_of(check.job)


class CheckSerializer(CheckSummarySerializer):
    """A check whole."""

    progress = ProgressSerializer(source="job")
    cancel_requested = serializers.BooleanField(source="job.cancel_requested")
    evidence = serializers.SerializerMethodField(help_text="In the order in which it was found; empty until then.")

    @extend_schema_field(EvidenceSerializer(many=True))
    def get_evidence(self, check: Check) -> Any:
        """Return the evidence, once the verdict on it stands."""
        found = evidence_of(check) if is_answered(check) else []
        return [EvidenceSerializer(item).data for item in found]


class OptionsSerializer(serializers.Serializer[Any]):
    """What else a check may do."""

    private_catalogues = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        max_length=MOST_ASKED,
        help_text=(
            "Ids of private catalogues to ask too. This site asks for you: it learns the answer, and so does whoever"
            " has the check's link. Nothing verifies such an answer, and your organisation has a few a day."
        ),
    )
    private_which = serializers.BooleanField(
        required=False, default=False, help_text="After a match ask which entry it is; it counts as one more."
    )


class SubmissionSerializer(OptionsSerializer):
    """A picture to check."""

    file = serializers.FileField(help_text="JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC. One file.")


def _shown(check: Check, request: Request) -> Any:
    return CheckSerializer(check, context={"request": request}).data


class Checks(ApiView):
    """All checks of an organisation."""

    tag = "Checks"
    scopes: ClassVar = {"GET": Scope.CHECK_READ, "POST": Scope.CHECK_WRITE}
    parser_classes = (MultiPartParser,)
    order = Order(Check, ("-created_at", "id"))

    @describe(
        name="checks_list",
        summary="List checks",
        answers={
            200: OpenApiResponse(page_of(CheckSummarySerializer), "A page of checks, newest first.", [examples.CHECKS])
        },
        refusals={400: (ErrorCode.INVALID,)},
        parameters=(PageQuery,),
        headers=("Link",),
    )
    def get(self, request: Request) -> Response:
        """List what your organisation's keys and members have had checked, newest first."""

        def show(checks: Any) -> Any:
            return CheckSummarySerializer(checks, many=True, context={"request": request}).data

        return self.order.page(request, checks_of(key_of(request).organisation), show)

    @describe(
        name="checks_submit",
        summary="Check a picture",
        request={"multipart/form-data": SubmissionSerializer},
        answers={202: OpenApiResponse(CheckSerializer, "The check has begun.", [examples.CHECK_BEGUN])},
        refusals={
            400: (ErrorCode.FILE_MISSING, ErrorCode.FILE_EMPTY, ErrorCode.TOO_MANY_FILES, ErrorCode.INVALID),
            413: (ErrorCode.FILE_TOO_LARGE, ErrorCode.TOO_MANY_FILES),
            409: (ErrorCode.CONFLICT,),
            415: (ErrorCode.PICTURE_UNREADABLE, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
            503: (ErrorCode.PRIVATE_UNAVAILABLE,),
        },
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Ask whether a picture is registered. The answer takes seconds: follow `Location` until `state` is final.

        The file is deleted after the time that `GET /api/v1/me` tells, or when you say so. Checks count against an
        hourly limit of your key beside the limit on requests.
        """
        key = key_of(request)
        files = request.FILES.getlist("file")
        if len(files) > 1:
            raise ProductError(
                ErrorCode.TOO_MANY_FILES,
                _("%(count)d files came. Send one picture with each request.") % {"count": len(files)},
            )
        options = OptionsSerializer(data=request.data)
        options.is_valid(raise_exception=True)
        self.use_allowance(throttling.count_check(key))
        (check,) = check_submit(
            files=files, organisation=key.organisation, api_key=key, wanted=options.validated_data
        )
        return Response(
            _shown(check, request), status=202, headers={"Location": address(request, "api:check", check.pk)}
        )


class CheckDetail(ApiView):
    """One check."""

    tag = "Checks"
    scopes: ClassVar = {"GET": Scope.CHECK_READ, "DELETE": Scope.CHECK_WRITE}

    @describe(
        name="checks_read",
        summary="Read a check",
        answers={
            200: OpenApiResponse(
                CheckSerializer, "The check as it is now.", [examples.CHECK_RUNNING, examples.CHECK_DONE]
            )
        },
        headers=("Retry-After",),
    )
    def get(self, request: Request, check_id: Id) -> Response:
        """Tell how far a check is, and its verdict with the evidence once there is one.

        While it is under way `Retry-After` says when to ask again; `If-None-Match` makes that cheap.
        """
        check = check_of(key_of(request).organisation, check_id)
        headers = {} if check.job.is_final else {"Retry-After": str(POLL_SECONDS)}
        return Response(_shown(check, request), headers=headers)

    @describe(
        name="checks_delete_upload",
        summary="Delete an uploaded picture",
        answers={204: OpenApiResponse(None, "The picture and what was made from it are deleted.")},
    )
    @idempotent
    def delete(self, request: Request, check_id: Id) -> Response:
        """Delete the picture that was sent, and all that was made from it, before its time is over.

        The check itself, its verdict and figures stay. One that is under way is cancelled. Twice is fine.
        """
        key = key_of(request)
        check_delete(check=check_of(key.organisation, check_id), api_key=key)
        return Response(status=204)


class CheckCancel(ApiView):
    """Stopping one check."""

    tag = "Checks"
    scopes: ClassVar = {"POST": Scope.CHECK_WRITE}

    @describe(
        name="checks_cancel",
        summary="Cancel a check",
        answers={200: OpenApiResponse(CheckSerializer, "It stops as soon as it can.", [examples.CHECK_CANCELLED])},
        refusals={409: (ErrorCode.CONFLICT,)},
    )
    @idempotent
    def post(self, request: Request, check_id: Id) -> Response:
        """Stop a check: at once while it waits, at its next step while it runs. No body is needed."""
        check = check_of(key_of(request).organisation, check_id)
        check.job = job_cancel(job=check.job)
        return Response(_shown(check, request))


class CheckReceipt(ApiView):
    """The receipt of one check."""

    tag = "Checks"
    scopes: ClassVar = {"GET": Scope.CHECK_READ}

    @describe(
        name="checks_receipt",
        summary="Fetch a receipt",
        answers={200: OpenApiResponse(examples.RECEIPT_SCHEMA, "The receipt.", [examples.RECEIPT])},
        refusals={409: (ErrorCode.CONFLICT,), 410: (ErrorCode.GONE,)},
    )
    def get(self, request: Request, check_id: Id) -> HttpResponse:
        """Return what was asked, answered and on which grounds, as canonical JSON (RFC 8785).

        `receipt_sha256` is the SHA-256 of the canonical JSON of everything else, so that anybody can tell whether a
        receipt was changed. The same check gives the same bytes each time.
        """
        check = check_of(key_of(request).organisation, check_id)
        return HttpResponse(receipt_bytes(check), content_type="application/json")
