"""Generators that sign what they make: numbers, recipes, revoking."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response

from provenance.watermark.record import Recipe
from webapp.accounts.models import Scope
from webapp.api import examples_signatures as examples
from webapp.api.access import Id, generator_of, generators_of
from webapp.api.base import ApiView, key_of
from webapp.api.fields import AddressField, address
from webapp.api.idempotency import idempotent
from webapp.api.pagination import Order, PageQuery, page_of
from webapp.api.schema import describe
from webapp.errors import ErrorCode
from webapp.signatures.keys import payload_of
from webapp.signatures.models import SignatureCode
from webapp.signatures.services import code_restore, code_revoke, generator_create

RECIPE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "What `provenance sign --recipe` and `provenance read --recipe` ask for.",
    "properties": {
        "schema": {"type": "string", "const": "provenance.signature-recipe.v1"},
        "algorithm": {"type": "string"},
        "generator": {"type": "string"},
        "number": {"type": "integer"},
        "tag": {"type": "string", "pattern": "^[0-9a-f]{10}$"},
    },
    "required": ["schema", "algorithm", "generator", "number", "tag"],
}


class GeneratorLinksSerializer(serializers.Serializer[SignatureCode]):
    """Where to go on."""

    self = AddressField("api:generator")
    recipe = AddressField("api:generator-recipe")
    page = AddressField("signatures:generator", help_text="For members, on the site: tests of pictures too.")


class GeneratorSerializer(serializers.Serializer[SignatureCode]):
    """A generator that signs what it makes."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    number = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    revoked_at = serializers.DateTimeField(allow_null=True)
    links = GeneratorLinksSerializer(source="*")


class NewGeneratorSerializer(serializers.Serializer[Any]):
    """A generator to give a number to."""

    name = serializers.CharField(max_length=120, help_text="With its version. It is shown to whoever checks a picture.")


class Generators(ApiView):
    """All generators of an organisation."""

    tag = "Signatures"
    scopes: ClassVar = {"GET": Scope.SIGNATURE_READ, "POST": Scope.SIGNATURE_WRITE}
    parser_classes = (JSONParser,)
    order = Order(SignatureCode, ("-created_at", "id"))

    @describe(
        name="generators_list",
        summary="List generators",
        answers={
            200: OpenApiResponse(page_of(GeneratorSerializer), "A page of them, newest first.", [examples.GENERATORS])
        },
        refusals={400: (ErrorCode.INVALID,)},
        parameters=(PageQuery,),
        headers=("Link",),
    )
    def get(self, request: Request) -> Response:
        """List your organisation's generators, newest first, revoked ones too."""

        def show(codes: Any) -> Any:
            return GeneratorSerializer(codes, many=True, context={"request": request}).data

        return self.order.page(request, generators_of(key_of(request).organisation), show)

    @describe(
        name="generators_create",
        summary="Get a number for a generator",
        request={"application/json": NewGeneratorSerializer},
        answers={201: OpenApiResponse(GeneratorSerializer, "It has a number.", [examples.GENERATOR_MADE])},
        refusals={
            409: (ErrorCode.QUOTA_EXCEEDED, ErrorCode.CONFLICT),
            415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE,),
        },
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Give a generator a number, which all its pictures carry. Its recipe has what to put into them."""
        asked = NewGeneratorSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        key = key_of(request)
        code = generator_create(
            organisation=key.organisation, name=asked.validated_data["name"], actor=None, api_key=key
        )
        shown = GeneratorSerializer(code, context={"request": request}).data
        return Response(shown, status=201, headers={"Location": address(request, "api:generator", code.pk)})


class GeneratorDetail(ApiView):
    """One generator."""

    tag = "Signatures"
    scopes: ClassVar = {"GET": Scope.SIGNATURE_READ, "DELETE": Scope.SIGNATURE_WRITE}

    @describe(
        name="generators_read",
        summary="Read a generator",
        answers={200: OpenApiResponse(GeneratorSerializer, "The generator.", [examples.GENERATOR])},
    )
    def get(self, request: Request, generator_id: Id) -> Response:
        """Return one generator."""
        code = generator_of(key_of(request).organisation, generator_id)
        return Response(GeneratorSerializer(code, context={"request": request}).data)

    @describe(
        name="generators_revoke",
        summary="Revoke a generator's signature",
        answers={204: OpenApiResponse(None, "Checks that read it say that it was revoked.")},
    )
    @idempotent
    def delete(self, request: Request, generator_id: Id) -> Response:
        """Revoke the signature of all its pictures. For a while it can be restored; twice is fine."""
        key = key_of(request)
        code_revoke(code=generator_of(key.organisation, generator_id), actor=None, api_key=key)
        return Response(status=204)


class GeneratorRestore(ApiView):
    """Taking the revocation of one generator's signature back."""

    tag = "Signatures"
    scopes: ClassVar = {"POST": Scope.SIGNATURE_WRITE}

    @describe(
        name="generators_restore",
        summary="Restore a generator's signature",
        answers={200: OpenApiResponse(GeneratorSerializer, "It is in force again.", [examples.GENERATOR])},
        refusals={409: (ErrorCode.CONFLICT,), 410: (ErrorCode.GONE,)},
    )
    @idempotent
    def post(self, request: Request, generator_id: Id) -> Response:
        """Undo a revocation, for as long as the site allows. No body is needed."""
        key = key_of(request)
        code = code_restore(code=generator_of(key.organisation, generator_id), actor=None, api_key=key)
        return Response(GeneratorSerializer(code, context={"request": request}).data)


class GeneratorRecipe(ApiView):
    """The recipe of one generator."""

    tag = "Signatures"
    scopes: ClassVar = {"GET": Scope.SIGNATURE_WRITE}

    @describe(
        name="generators_recipe",
        summary="Fetch the recipe",
        answers={200: OpenApiResponse(RECIPE_SCHEMA, "The recipe.", [examples.GENERATOR_RECIPE])},
    )
    def get(self, request: Request, generator_id: Id) -> HttpResponse:
        """Return what to sign with: number and tag. It is not for the public, and asks for the scope of writes: whoever
        has it can sign as this generator."""
        code = generator_of(key_of(request).organisation, generator_id)
        return HttpResponse(Recipe(payload_of(code), code.name).to_json(), content_type="application/json")
