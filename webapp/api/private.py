"""Private catalogues: sending encrypted content, and questions that are encrypted where they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import Scope
from webapp.api import examples_private as examples
from webapp.api.access import Id, Row
from webapp.api.base import ApiView, key_of
from webapp.api.fields import AddressField, FailureSerializer, ProgressSerializer, StateField, address, failure_of
from webapp.api.idempotency import idempotent
from webapp.api.pagination import Order, PageQuery, page_of
from webapp.api.schema import describe
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.services import job_cancel
from webapp.private import content, door, relaying
from webapp.private.budget import questions_left
from webapp.private.kit import kit
from webapp.private.models import PrivateCatalogue, PrivateQuestion
from webapp.private.selectors import askable, risk_of, state_of

POLL_SECONDS = 2
POLICIES = [("bit", "whether anything matches"), ("who", "which entry matches")]
CONTENT_STATES = [("checking", "keyholders check it"), ("present", "it is what questions are about")]
_CHUNK = 1 << 20
# Of whatever takes a body of bytes.
_REFUSED_BYTES = {
    400: (ErrorCode.INVALID, ErrorCode.FILE_MISSING),
    409: (ErrorCode.CONFLICT,),
    413: (ErrorCode.FILE_TOO_LARGE,),
    415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE,),
}


class BytesParser(BaseParser):
    """Takes a body as it is."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the bytes; how many there may be is known by the address."""
        return stream.read()


class StreamParser(BytesParser):
    """Hands a body over to be read piece by piece: it lies in a file already, and may be larger than the memory."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the stream."""
        return stream


class ExpectedSerializer(serializers.Serializer[Any]):
    """How many entries of other pictures a question meets by chance."""

    measured = serializers.FloatField(help_text="From pairs of different pictures that were measured.")
    upper_bound = serializers.FloatField(source="bound", help_text="95 % bound.")


class PrivateLinksSerializer(serializers.Serializer[PrivateCatalogue]):
    """Where to go on."""

    self = AddressField("api:private-catalogue", source="catalogue_id")
    kit = AddressField("api:private-kit", source="catalogue_id", help_text="Agreement, public key and manifest.")
    questions = AddressField("api:private-questions", source="catalogue_id")


class PrivateCatalogueSerializer(serializers.Serializer[PrivateCatalogue]):
    """A catalogue whose hashes nobody can read."""

    id = serializers.UUIDField(source="catalogue_id")
    name = serializers.CharField(source="catalogue.name")
    holder = serializers.CharField(source="catalogue.organisation.name")
    algorithm = serializers.CharField(help_text="Of the hashes; a query's must be of the same.")
    bits = serializers.IntegerField(
        source="agreement.scheme.code_length", read_only=True, help_text="Length of a hash."
    )
    tau = serializers.IntegerField(help_text="Bits that a match may differ in. Nothing else is compared.")
    policies = serializers.ListField(
        child=serializers.ChoiceField(choices=POLICIES),
        source="agreement.policies",
        read_only=True,
        help_text="`bit`: whether anything matches; `who`: which entry.",
    )
    entries = serializers.IntegerField()
    state = serializers.SerializerMethodField(help_text="Number of the present content.")
    agreement = serializers.CharField(
        source="agreement.digest", read_only=True, help_text="SHA-256 of the agreement, which names its keys."
    )
    expected_false = serializers.SerializerMethodField()
    questions_left = serializers.SerializerMethodField(help_text="Your organisation's, in these 24 hours.")
    links = PrivateLinksSerializer(source="*")

    @extend_schema_field(OpenApiTypes.INT)
    def get_state(self, private: PrivateCatalogue) -> int:
        """Return the number of the content."""
        return state_of(private)

    @extend_schema_field(ExpectedSerializer)
    def get_expected_false(self, private: PrivateCatalogue) -> Any:
        """Return what chance does at its size."""
        return ExpectedSerializer(risk_of(private)).data

    @extend_schema_field(OpenApiTypes.INT)
    def get_questions_left(self, private: PrivateCatalogue) -> int:
        """Return how many more the caller may ask."""
        key = self.context["key"]
        return questions_left(private, f"organisation:{key.organisation_id}")


class QuestionLinksSerializer(serializers.Serializer[PrivateQuestion]):
    """Where to go on."""

    self = AddressField("api:private-question")
    answer = AddressField("api:private-answer", help_text="Sealed for whoever asked; 409 until it is there.")
    catalogue = AddressField("api:private-catalogue", source="private.catalogue_id")


class QuestionSerializer(serializers.Serializer[PrivateQuestion]):
    """A question on its way, or answered. The site does not know the answer."""

    id = serializers.UUIDField()
    state = StateField()
    policy = serializers.ChoiceField(choices=POLICIES)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(source="job.finished_at", allow_null=True)
    progress = ProgressSerializer(source="job")
    entries = serializers.IntegerField(help_text="How many it was compared with; 0 until then.")
    seconds = serializers.FloatField()
    sent_bytes = serializers.IntegerField()
    answer_bytes = serializers.IntegerField()
    error = serializers.SerializerMethodField(help_text="Why there is no answer; null otherwise.")
    links = QuestionLinksSerializer(source="*")

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, question: PrivateQuestion) -> dict[str, Any] | None:
        """Return why it failed, where it did."""
        return failure_of(question.job) if question.job is not None else None


class ContentSerializer(serializers.Serializer[Any]):
    """What became of a manifest that was sent."""

    state = serializers.ChoiceField(choices=CONTENT_STATES)
    catalogue = serializers.UUIDField()


class BlockSerializer(serializers.Serializer[Any]):
    """A block that is here now."""

    sha256 = serializers.CharField()
    byte_size = serializers.IntegerField()


def _found(rows: QuerySet[Row], **by: object) -> Row:
    found = rows.filter(**by).first()
    if found is None:
        raise Http404
    return found


def _askable(private_id: Id) -> PrivateCatalogue:
    return _found(askable(), catalogue=private_id)


def _own(request: Request, private_id: Id) -> PrivateCatalogue:
    rows = PrivateCatalogue.objects.select_related("catalogue__organisation")
    own = rows.filter(catalogue__organisation=key_of(request).organisation, catalogue__deleted_at=None)
    return _found(own, catalogue=private_id)


def _question(request: Request, question_id: Id) -> PrivateQuestion:
    return _found(relaying.questions_of(key_of(request)), pk=question_id)


def _shown(request: Request, question: PrivateQuestion) -> Any:
    return QuestionSerializer(question, context={"request": request}).data


def _body(request: Request) -> bytes:
    data: Any = request.data
    if not isinstance(data, bytes) or not data:
        raise _no_body()
    return data


def _chunks(request: Request) -> Iterator[bytes]:
    stream: Any = request.data
    if not hasattr(stream, "read"):
        raise _no_body()
    while chunk := stream.read(_CHUNK):
        yield chunk


def _no_body() -> ProductError:
    return ProductError(ErrorCode.FILE_MISSING, _("Send the bytes as the body: application/octet-stream."))


class PrivateCatalogues(ApiView):
    """Private catalogues that answer."""

    tag = "Private catalogues"
    scopes: ClassVar = {"GET": Scope.CHECK_READ}
    order = Order(PrivateCatalogue, ("created_at", "id"))

    @describe(
        name="private_catalogues_list",
        summary="List private catalogues",
        answers={
            200: OpenApiResponse(
                page_of(PrivateCatalogueSerializer), "A page of those that answer.", [examples.PRIVATE_CATALOGUES]
            )
        },
        refusals={400: (ErrorCode.INVALID,)},
        parameters=(PageQuery,),
        headers=("Link",),
    )
    def get(self, request: Request) -> Response:
        """List the private catalogues that answer questions now, whoever holds them.

        To have this site ask for you, send their ids with a check. To ask so that this site learns neither your
        picture nor the answer, be admitted by the holder, encrypt on your machine, and post the question.
        """
        context = {"request": request, "key": key_of(request)}

        def show(found: Any) -> Any:
            return PrivateCatalogueSerializer(found, many=True, context=context).data

        return self.order.page(request, askable().order_by(), show)


class PrivateCatalogueDetail(ApiView):
    """One private catalogue."""

    tag = "Private catalogues"
    scopes: ClassVar = {"GET": Scope.CHECK_READ}

    @describe(
        name="private_catalogues_read",
        summary="Read a private catalogue",
        answers={200: OpenApiResponse(PrivateCatalogueSerializer, "The catalogue.", [examples.PRIVATE_CATALOGUE])},
    )
    def get(self, request: Request, private_id: Id) -> Response:
        """Return what may be asked, of how many entries, and what chance does."""
        context = {"request": request, "key": key_of(request)}
        return Response(PrivateCatalogueSerializer(_askable(private_id), context=context).data)


class PrivateKit(ApiView):
    """What encrypting needs."""

    tag = "Private catalogues"
    scopes: ClassVar = {"GET": Scope.CHECK_READ}

    @describe(
        name="private_catalogues_kit",
        summary="Fetch a kit",
        answers={(200, "application/zip"): OpenApiResponse(OpenApiTypes.BINARY, "A ZIP archive.")},
        refusals={409: (ErrorCode.CONFLICT,)},
    )
    def get(self, request: Request, private_id: Id) -> HttpResponse:
        """Return agreement, public key and manifest as a ZIP archive: with them `provenance` encrypts on your machine.

        The holder gets it as soon as the keys are made, others once there is content.
        """
        try:
            private = _own(request, private_id)
        except Http404:
            private = _askable(private_id)
        return HttpResponse(kit(private), content_type="application/zip")


class PrivateBlock(ApiView):
    """One block of encrypted content."""

    tag = "Private catalogues"
    scopes: ClassVar = {"PUT": Scope.CATALOGUE_WRITE}
    parser_classes = (StreamParser,)

    @describe(
        name="private_blocks_put",
        summary="Send a block",
        request={"application/octet-stream": OpenApiTypes.BINARY},
        answers={200: OpenApiResponse(BlockSerializer, "The block is here.", [examples.PRIVATE_BLOCK])},
        refusals={**_REFUSED_BYTES, 409: (ErrorCode.CONFLICT, ErrorCode.QUOTA_EXCEEDED)},
    )
    def put(self, request: Request, private_id: Id, sha256: str) -> Response:
        """Send one `.block` file of a catalogue that you encrypted, under its SHA-256. Twice is fine.

        It counts once a manifest names it, and all keyholders have checked it.
        """
        private = _own(request, private_id)
        path = door.block_take(private=private, sha256=sha256, chunks=_chunks(request))
        return Response({"sha256": sha256, "byte_size": path.stat().st_size})


class PrivateManifest(ApiView):
    """The signed list of content."""

    tag = "Private catalogues"
    scopes: ClassVar = {"PUT": Scope.CATALOGUE_WRITE}
    parser_classes = (BytesParser,)

    @describe(
        name="private_manifest_put",
        summary="Send a manifest",
        request={"application/octet-stream": OpenApiTypes.BINARY},
        answers={202: OpenApiResponse(ContentSerializer, "Keyholders check it.", [examples.PRIVATE_CONTENT])},
        refusals={**_REFUSED_BYTES, 413: (ErrorCode.FILE_TOO_LARGE, ErrorCode.QUOTA_EXCEEDED)},
    )
    @idempotent
    def put(self, request: Request, private_id: Id) -> Response:
        """Send the manifest of new content, whose blocks are here: appended, deleted or compacted.

        Questions are about the content before it until all keyholders have checked this one.
        """
        private = _own(request, private_id)
        data = _body(request)
        job = content.content_send(private=private, data=data, api_key=key_of(request))
        return Response(
            {"state": "present" if job is None else "checking", "catalogue": str(private.catalogue_id)}, status=202
        )


class PrivateQuestions(ApiView):
    """Questions to one private catalogue."""

    tag = "Private catalogues"
    scopes: ClassVar = {"POST": Scope.CHECK_WRITE}
    parser_classes = (BytesParser,)

    @describe(
        name="private_questions_ask",
        summary="Ask privately",
        request={"application/octet-stream": OpenApiTypes.BINARY},
        answers={202: OpenApiResponse(QuestionSerializer, "It is on its way.", [examples.PRIVATE_QUESTION])},
        refusals={**_REFUSED_BYTES, 503: (ErrorCode.PRIVATE_UNAVAILABLE,)},
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Request, private_id: Id) -> Response:
        """Send a question that `provenance` encrypted and signed on your machine; follow `Location` until it is final.

        The site relays it to the keyholders, and learns neither picture nor answer. The same question is taken once.
        Your organisation asks one catalogue a few times a day, since many answers near an entry tell its hash; past
        that the answer is 429, with `Retry-After`.
        """
        private = _askable(private_id)
        question = relaying.question_send(private=private, data=_body(request), api_key=key_of(request))
        headers = {"Location": address(request, "api:private-question", question.pk)}
        return Response(_shown(request, question), status=202, headers=headers)


class PrivateQuestionDetail(ApiView):
    """One question."""

    tag = "Private catalogues"
    scopes: ClassVar = {"GET": Scope.CHECK_READ}

    @describe(
        name="private_questions_read",
        summary="Read a question",
        answers={200: OpenApiResponse(QuestionSerializer, "The question as it is now.", [examples.PRIVATE_QUESTION])},
        headers=("Retry-After",),
    )
    def get(self, request: Request, question_id: Id) -> Response:
        """Tell how far a question is, and what it took."""
        question = _question(request, question_id)
        over = question.job is not None and question.job.is_final
        headers = {} if over else {"Retry-After": str(POLL_SECONDS)}
        return Response(_shown(request, question), headers=headers)


class PrivateQuestionCancel(ApiView):
    """Stopping one question."""

    tag = "Private catalogues"
    scopes: ClassVar = {"POST": Scope.CHECK_WRITE}

    @describe(
        name="private_questions_cancel",
        summary="Cancel a question",
        answers={200: OpenApiResponse(QuestionSerializer, "It stops as soon as it can.", [examples.PRIVATE_QUESTION])},
        refusals={409: (ErrorCode.CONFLICT,)},
    )
    @idempotent
    def post(self, request: Request, question_id: Id) -> Response:
        """Stop a question. Once it was begun it counts all the same. No body is needed."""
        question = _question(request, question_id)
        assert question.job is not None
        question.job = job_cancel(job=question.job)
        return Response(_shown(request, question))


class PrivateAnswer(ApiView):
    """The sealed answers to one question."""

    tag = "Private catalogues"
    scopes: ClassVar = {"GET": Scope.CHECK_READ}

    @describe(
        name="private_questions_answer",
        summary="Fetch an answer",
        answers={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "Sealed answers.")},
        refusals={409: (ErrorCode.CONFLICT,), 410: (ErrorCode.GONE,)},
    )
    def get(self, request: Request, question_id: Id) -> HttpResponse:
        """Return what each keyholder answered, sealed for whoever asked; kept for a day."""
        data = relaying.answer_read(_question(request, question_id))
        return HttpResponse(data, content_type="application/octet-stream")
