"""Lists in pages: a cursor says after which row the next page begins, so that rows added meanwhile shift nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.api.problems import invalid

DEFAULT_SIZE = 50
MAX_SIZE = 200

Row = TypeVar("Row", bound=Model)


class PageQuery(serializers.Serializer[Any]):
    """What the query of a list may say."""

    page_size = serializers.IntegerField(
        min_value=1, max_value=MAX_SIZE, default=DEFAULT_SIZE, help_text="How many to return at most."
    )
    cursor = serializers.CharField(
        required=False,
        max_length=1000,
        help_text="Where the page begins: taken from `next` of the page before. Leave it out for the first page.",
    )


def page_of(serializer: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """Return the serializer of a page of such rows, for the documentation."""
    return inline_serializer(
        name=serializer.__name__.removesuffix("Serializer") + "Page",
        fields={
            "results": serializer(many=True),
            "next": serializers.URLField(allow_null=True, help_text="The next page; null on the last."),
        },
    )


@dataclass(frozen=True)
class Order(Generic[Row]):
    """In what order a list comes: fields, each with "-" before it to turn it round, that together are unique.

    Fields may not be null; each field's value must be reproduced exactly by its own ``to_python`` from a string.
    """

    model: type[Row]
    fields: Sequence[str]

    def page(self, request: Request, rows: QuerySet[Row], show: Callable[[Sequence[Row]], list[Any]]) -> Response:
        """Return the page that the request asks for as ``{"results", "next"}``, with links in its ``Link`` header.

        Raises:
            ValidationError: the size is out of range.
            ProductError: the cursor is not one of this list.
        """
        query = PageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        size, cursor = query.validated_data["page_size"], query.validated_data.get("cursor")
        rows = rows.order_by(*self.fields)
        if cursor is not None:
            rows = rows.filter(self._after(self._read(request, cursor)))
        found = list(rows[: size + 1])
        first = _address(request, cursor=None)
        following = _address(request, cursor=self._write(request, found[size - 1])) if len(found) > size else None
        links = [f'<{first}>; rel="first"', *([f'<{following}>; rel="next"'] if following else [])]
        return Response({"results": show(found[:size]), "next": following}, headers={"Link": ", ".join(links)})

    def _write(self, request: Request, row: Row) -> str:
        values = [str(getattr(row, name.lstrip("-"))) for name in self.fields]
        return signing.dumps(values, salt=self._salt(request))

    def _read(self, request: Request, cursor: str) -> list[Any]:
        try:
            values = signing.loads(cursor, salt=self._salt(request))
        except signing.BadSignature as error:
            raise invalid({"cursor": [_("Not a cursor of this list. Begin without one.")]}) from error
        return [
            self.model._meta.get_field(name.lstrip("-")).to_python(value)  # type: ignore[union-attr]
            for name, value in zip(self.fields, values, strict=True)
        ]

    def _salt(self, request: Request) -> str:
        return f"webapp.api.cursor:{request.path}:{','.join(self.fields)}"

    def _after(self, values: Sequence[Any]) -> Q:
        """Return the condition of coming after a row with these values, column by column."""
        after, equal = Q(), Q()
        for field, value in zip(self.fields, values, strict=True):
            name = field.lstrip("-")
            after |= equal & Q((f"{name}__{'lt' if field.startswith('-') else 'gt'}", value))
            equal &= Q((name, value))
        return after


def _address(request: Request, *, cursor: str | None) -> str:
    query = request.query_params.copy()
    query.pop("cursor", None)
    if cursor is not None:
        query["cursor"] = cursor
    address = request.build_absolute_uri(request.path)
    return f"{address}?{query.urlencode()}" if query else address
