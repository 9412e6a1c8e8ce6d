"""Imports: adding pictures to a catalogue, how far that is, and what became of each picture."""

from __future__ import annotations

import json
from typing import Any, ClassVar, cast

from django.http import QueryDict
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import Scope
from webapp.api import examples
from webapp.api.access import Id, import_of
from webapp.api.base import ApiView, key_of
from webapp.api.fields import AddressField, FailureSerializer, ProgressSerializer, StateField, address, failure_of
from webapp.api.pagination import Order, PageQuery, page_of
from webapp.api.problems import invalid
from webapp.api.schema import describe
from webapp.catalogues.imports import import_create
from webapp.catalogues.models import Catalogue, CatalogueImport, ImportRow
from webapp.catalogues.selectors import SHOWN_STATES, import_counts, row_result, rows_of
from webapp.catalogues.table import COLUMNS
from webapp.catalogues.uploads import uploads_sort
from webapp.errors import ErrorCode

POLL_SECONDS = 2
ROW_STATES = list(SHOWN_STATES.items())


class DetailsSerializer(serializers.Serializer[Any]):
    """What is said of a picture. Left out, the title is made from the file's name."""

    title = serializers.CharField(required=False, allow_blank=True)
    creator = serializers.CharField(required=False, allow_blank=True)
    licence = serializers.CharField(required=False, allow_blank=True)
    source_url = serializers.CharField(required=False, allow_blank=True)
    external_id = serializers.CharField(required=False, allow_blank=True)


class MetadataField(serializers.CharField):
    """JSON in a field of a form: a list with one object for each file, in the files' order."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the list of details.

        Raises:
            ValidationError: it is no JSON, no list, or an object in it has other than the known texts.
        """
        try:
            given = json.loads(super().to_internal_value(data))
        except (ValueError, RecursionError) as error:
            raise serializers.ValidationError(_("Not JSON: %(reason)s.") % {"reason": error}) from error
        details = DetailsSerializer(data=given, many=True)
        details.is_valid(raise_exception=True)
        for values in given:
            if unknown := sorted(set(values) - set(COLUMNS)):
                raise serializers.ValidationError(
                    _("“%(name)s” is not known here. Known are: %(known)s.")
                    % {"name": unknown[0], "known": ", ".join(COLUMNS)}
                )
        return details.validated_data


class ImportSubmissionSerializer(serializers.Serializer[Any]):
    """Pictures to register."""

    file = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True),
        help_text="Pictures, or one ZIP archive of them. A CSV table of titles may come beside either.",
    )
    metadata = MetadataField(
        required=False,
        help_text=(
            "What is said of the pictures, as JSON: a list with one object for each `file`, in their order. Known are"
            " `title`, `creator`, `licence`, `source_url` and `external_id`. Not with an archive or a table."
        ),
    )
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Say what would happen and register nothing."
    )


class CountsSerializer(serializers.Serializer[Any]):
    """How many of the import's pictures are where."""

    pending = serializers.IntegerField(help_text="Not done yet.")
    registered = serializers.IntegerField()
    valid = serializers.IntegerField(help_text="Of a dry run: would be registered.")
    duplicate = serializers.IntegerField(help_text="Registered already, or twice in the upload.")
    failed = serializers.IntegerField(help_text="Refused.")
    not_done = serializers.IntegerField(help_text="Left when the import ended before its end.")


class ImportLinksSerializer(serializers.Serializer[CatalogueImport]):
    """Where to go on."""

    self = AddressField("api:import")
    rows = AddressField("api:import-rows")
    catalogue = AddressField("api:catalogue", source="catalogue_id")
    page = AddressField("catalogues:import", help_text="For members, on the site: resume, undo, results as CSV.")


class ImportSerializer(serializers.Serializer[CatalogueImport]):
    """One upload into a catalogue."""

    id = serializers.UUIDField()
    state = StateField()
    upload_name = serializers.CharField()
    dry_run = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(source="job.finished_at", allow_null=True)
    progress = ProgressSerializer(source="job")
    counts = serializers.SerializerMethodField()
    notes = serializers.ListField(child=serializers.CharField(), help_text="On the upload as a whole.")
    error = serializers.SerializerMethodField(help_text="Why it ended before its end; null otherwise.")
    links = ImportLinksSerializer(source="*")

    @extend_schema_field(CountsSerializer)
    def get_counts(self, catalogue_import: CatalogueImport) -> dict[str, int]:
        """Return how many rows are in each state, with those in which there are none."""
        counts = import_counts(catalogue_import)
        return {state: counts.get(state, 0) for state in SHOWN_STATES}

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, catalogue_import: CatalogueImport) -> dict[str, Any] | None:
        """Return why it failed, where it did."""
        return failure_of(catalogue_import.job)


class RowSerializer(serializers.Serializer[ImportRow]):
    """What became of one picture of an import."""

    index = serializers.IntegerField(help_text="Position in the archive, or among the files.")
    filename = serializers.CharField(source="path")
    state = serializers.ChoiceField(choices=ROW_STATES, source="shown")
    code = serializers.SerializerMethodField(
        help_text="Of a duplicate `same_bytes` or `same_pixels`; of a picture that was refused or left the problem's"
        " code; empty otherwise."
    )
    message = serializers.SerializerMethodField(help_text="The same in words, with what to do.")
    sha256 = serializers.CharField(allow_blank=True)
    item = serializers.SerializerMethodField(
        help_text="The picture's record: the new one, or the one that this is a duplicate of; null where it has none."
    )

    @extend_schema_field(serializers.CharField())
    def get_code(self, row: ImportRow) -> str:
        """Return the row's code."""
        return row_result(row, row.catalogue_import.job.state)[1]

    @extend_schema_field(serializers.CharField())
    def get_message(self, row: ImportRow) -> str:
        """Return the row's sentence."""
        return row_result(row, row.catalogue_import.job.state)[2]

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_item(self, row: ImportRow) -> str | None:
        """Return the address of the item that the row led to."""
        if row.work is None or row.work.deleted_at or not hasattr(row.work, "catalogue_item"):
            return None
        return address(self.context["request"], "api:item", row.work.catalogue_item.pk)


class RowQuery(PageQuery):
    """What the query of a list of rows may say."""

    state = serializers.ChoiceField(choices=ROW_STATES, required=False, help_text="Only these.")


start_is_described = describe(
    name="items_add",
    summary="Add pictures",
    request={"multipart/form-data": ImportSubmissionSerializer},
    answers={202: OpenApiResponse(ImportSerializer, "The import has begun.", [examples.IMPORT_BEGUN])},
    refusals={
        400: (
            ErrorCode.INVALID,
            ErrorCode.FILE_MISSING,
            ErrorCode.ARCHIVE_UNREADABLE,
            ErrorCode.CSV_UNREADABLE,
        ),
        413: (
            ErrorCode.FILE_TOO_LARGE,
            ErrorCode.ARCHIVE_TOO_LARGE,
            ErrorCode.TOO_MANY_FILES,
            ErrorCode.QUOTA_EXCEEDED,
        ),
        415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE,),
    },
    headers=("Location",),
)


def imports_start(request: Request, catalogue: Catalogue) -> Response:
    """Start the import that a request asks for.

    Raises:
        ValidationError: a field is wrong.
        ProductError: there is no file, or the files cannot be imported.
    """
    files = request.FILES.getlist("file")
    sorted_files = uploads_sort(files)
    form = cast(QueryDict, request.data)
    sent = {name: form[name] for name in ("metadata", "dry_run") if name in form}
    submission = ImportSubmissionSerializer(data={"file": files, **sent})
    submission.is_valid(raise_exception=True)
    details = submission.validated_data.get("metadata", ())
    if details and (sorted_files.archive or sorted_files.table):
        raise invalid({"metadata": [_("An archive or table brings its own. Leave this out, or the table.")]})
    if details and len(details) != len(files):
        raise invalid(
            {
                "metadata": [
                    _("It describes %(count)d pictures and %(files)d came. Send one object for each file.")
                    % {"count": len(details), "files": len(files)}
                ]
            }
        )
    catalogue_import = import_create(
        catalogue=catalogue,
        archive=sorted_files.archive,
        files=sorted_files.pictures,
        table=sorted_files.table,
        details=details,
        dry_run=submission.validated_data["dry_run"],
        started_by=None,
        api_key=key_of(request),
    )
    return Response(
        ImportSerializer(catalogue_import, context={"request": request}).data,
        status=202,
        headers={"Location": address(request, "api:import", catalogue_import.pk)},
    )


class ImportDetail(ApiView):
    """One import."""

    tag = "Imports"
    scopes: ClassVar = {"GET": Scope.CATALOGUE_READ}

    @describe(
        name="imports_read",
        summary="Read an import",
        answers={200: OpenApiResponse(ImportSerializer, "The import as it is now.", [examples.IMPORT_DONE])},
        headers=("Retry-After",),
    )
    def get(self, request: Request, import_id: Id) -> Response:
        """Tell how far an import is, and how many pictures were registered, were duplicates or were refused.

        While it is under way `Retry-After` says when to ask again.
        """
        catalogue_import = import_of(key_of(request).organisation, import_id)
        headers = {} if catalogue_import.job.is_final else {"Retry-After": str(POLL_SECONDS)}
        return Response(ImportSerializer(catalogue_import, context={"request": request}).data, headers=headers)


class ImportRows(ApiView):
    """The rows of one import."""

    tag = "Imports"
    scopes: ClassVar = {"GET": Scope.CATALOGUE_READ}
    order = Order(ImportRow, ("index",))

    @describe(
        name="imports_rows",
        summary="List what became of each picture",
        answers={200: OpenApiResponse(page_of(RowSerializer), "A page of rows, in order.", [examples.ROWS])},
        refusals={400: (ErrorCode.INVALID,)},
        parameters=(RowQuery,),
        headers=("Link",),
    )
    def get(self, request: Request, import_id: Id) -> Response:
        """List an import's pictures in order, with what became of each."""
        catalogue_import = import_of(key_of(request).organisation, import_id)
        query = RowQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        rows = rows_of(catalogue_import, query.validated_data.get("state", ""))

        def show(found: Any) -> Any:
            for row in found:
                row.catalogue_import = catalogue_import
            return RowSerializer(found, many=True, context={"request": request}).data

        return self.order.page(request, rows.select_related("work__catalogue_item"), show)
