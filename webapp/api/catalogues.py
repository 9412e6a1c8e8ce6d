"""Catalogues and the pictures in them: list, search, read, delete."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import Scope
from webapp.api import examples
from webapp.api.access import Id, catalogue_of, catalogues_of, item_of
from webapp.api.base import ApiView, key_of
from webapp.api.fields import AddressField
from webapp.api.idempotency import idempotent
from webapp.api.imports import imports_start, start_is_described
from webapp.api.pagination import Order, PageQuery, page_of
from webapp.api.schema import describe
from webapp.catalogues.models import Catalogue, CatalogueItem
from webapp.catalogues.selectors import ItemFilter, items_find
from webapp.catalogues.services import items_delete
from webapp.errors import ErrorCode
from webapp.registry.models import Visibility, Work


class CatalogueLinksSerializer(serializers.Serializer[Catalogue]):
    """Where to go on."""

    self = AddressField("api:catalogue")
    items = AddressField("api:items")
    hash = AddressField("api:hash", help_text="Its deep hash.")
    page = AddressField("catalogues:detail", help_text="For members, on the site.")


class CatalogueSerializer(serializers.Serializer[Catalogue]):
    """A named set of registered pictures."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    visibility = serializers.ChoiceField(
        choices=Visibility.choices, help_text="What somebody sees who finds a copy of a picture in it."
    )
    item_count = serializers.IntegerField(source="works")
    created_at = serializers.DateTimeField()
    links = CatalogueLinksSerializer(source="*")


class WorkSerializer(serializers.Serializer[Work]):
    """The registered picture."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    creator = serializers.CharField(allow_blank=True)
    licence = serializers.CharField(allow_blank=True)
    source_url = serializers.CharField(allow_blank=True, help_text="Where it is published.")
    external_id = serializers.CharField(allow_blank=True, help_text="Your own id for it.")
    visibility = serializers.ChoiceField(choices=Visibility.choices)
    sha256 = serializers.CharField(help_text="Of the file, in hex.")
    pixel_sha256 = serializers.CharField(help_text="Of the decoded picture, in hex.")
    media_type = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    byte_size = serializers.IntegerField()


class ItemLinksSerializer(serializers.Serializer[CatalogueItem]):
    """Where to go on."""

    self = AddressField("api:item")
    catalogue = AddressField("api:catalogue", source="catalogue_id")
    page = AddressField("registry:work", source="work_id", help_text="The public record of the picture.")


class ItemSerializer(serializers.Serializer[CatalogueItem]):
    """A picture in a catalogue."""

    id = serializers.UUIDField()
    filename = serializers.CharField(help_text="As it was called when it came.")
    created_at = serializers.DateTimeField()
    work = WorkSerializer()
    links = ItemLinksSerializer(source="*")


class ItemQuery(PageQuery):
    """What the query of a list of items may say."""

    search = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=200,
        help_text="Words that must all occur in title, creator, file name or external id, in any case.",
    )


class Catalogues(ApiView):
    """All catalogues of an organisation."""

    tag = "Catalogues"
    scopes: ClassVar = {"GET": Scope.CATALOGUE_READ}
    order = Order(Catalogue, ("name", "id"))

    @describe(
        name="catalogues_list",
        summary="List catalogues",
        answers={
            200: OpenApiResponse(page_of(CatalogueSerializer), "A page of catalogues by name.", [examples.CATALOGUES])
        },
        refusals={400: (ErrorCode.INVALID,)},
        parameters=(PageQuery,),
        headers=("Link",),
    )
    def get(self, request: Request) -> Response:
        """List your organisation's catalogues by name."""

        def show(catalogues: Any) -> Any:
            return CatalogueSerializer(catalogues, many=True, context={"request": request}).data

        return self.order.page(request, catalogues_of(key_of(request).organisation), show)


class CatalogueDetail(ApiView):
    """One catalogue."""

    tag = "Catalogues"
    scopes: ClassVar = {"GET": Scope.CATALOGUE_READ}

    @describe(
        name="catalogues_read",
        summary="Read a catalogue",
        answers={200: OpenApiResponse(CatalogueSerializer, "The catalogue.", [examples.CATALOGUE])},
    )
    def get(self, request: Request, catalogue_id: Id) -> Response:
        """Return one catalogue."""
        catalogue = catalogue_of(key_of(request).organisation, catalogue_id)
        return Response(CatalogueSerializer(catalogue, context={"request": request}).data)


class Items(ApiView):
    """The pictures in one catalogue."""

    tag = "Catalogues"
    scopes: ClassVar = {"GET": Scope.CATALOGUE_READ, "POST": Scope.CATALOGUE_WRITE}
    parser_classes = (MultiPartParser,)
    order = Order(CatalogueItem, ("-created_at", "id"))

    @describe(
        name="items_list",
        summary="List or search pictures",
        answers={200: OpenApiResponse(page_of(ItemSerializer), "A page of pictures, newest first.", [examples.ITEMS])},
        refusals={400: (ErrorCode.INVALID,)},
        parameters=(ItemQuery,),
        headers=("Link",),
    )
    def get(self, request: Request, catalogue_id: Id) -> Response:
        """List a catalogue's pictures, newest first, or those that fit a search."""
        catalogue = catalogue_of(key_of(request).organisation, catalogue_id)
        query = ItemQuery(data=request.query_params)
        query.is_valid(raise_exception=True)

        def show(items: Any) -> Any:
            return ItemSerializer(items, many=True, context={"request": request}).data

        return self.order.page(request, items_find(catalogue, ItemFilter(query=query.validated_data["search"])), show)

    @start_is_described
    @idempotent
    def post(self, request: Request, catalogue_id: Id) -> Response:
        """Register pictures: up to as many as `GET /api/v1/me` tells, or one ZIP archive; beside them a CSV table.

        They are imported in the background, those that are registered already are named, and one that is refused
        stops no other: follow `Location`, then read the rows. With `dry_run` nothing is registered.
        """
        return imports_start(request, catalogue_of(key_of(request).organisation, catalogue_id))


class ItemDetail(ApiView):
    """One picture of a catalogue."""

    tag = "Catalogues"
    scopes: ClassVar = {"GET": Scope.CATALOGUE_READ, "DELETE": Scope.CATALOGUE_WRITE}

    @describe(
        name="items_read",
        summary="Read a picture's record",
        answers={200: OpenApiResponse(ItemSerializer, "The picture's record.", [examples.ITEM])},
    )
    def get(self, request: Request, item_id: Id) -> Response:
        """Return what is registered of one picture."""
        item = item_of(key_of(request).organisation, item_id)
        return Response(ItemSerializer(item, context={"request": request}).data)

    @describe(
        name="items_delete",
        summary="Delete a picture",
        answers={204: OpenApiResponse(None, "It is not registered any more.")},
    )
    @idempotent
    def delete(self, request: Request, item_id: Id) -> Response:
        """Take a picture out of the registry. For a time that the site tells, members can undo this there."""
        key = key_of(request)
        item = item_of(key.organisation, item_id)
        items_delete(catalogue=item.catalogue, item_ids=[item.pk], actor=None, api_key=key)
        return Response(status=204)
