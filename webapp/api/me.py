"""Who am I: what a key is, and how much its holder may do."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from webapp.accounts.models import ApiKey, Organisation, Scope
from webapp.api import examples
from webapp.api.base import ApiView, key_of
from webapp.api.permissions import ANY_KEY
from webapp.api.schema import describe
from webapp.registry.storage import storage_used


class OrganisationSerializer(serializers.Serializer[Organisation]):
    """In whose name the key acts."""

    id = serializers.UUIDField()
    name = serializers.CharField()


class LimitsSerializer(serializers.Serializer[Any]):
    """What this site holds its callers to."""

    requests_per_minute = serializers.IntegerField()
    checks_per_hour = serializers.IntegerField()
    artworks_per_hour = serializers.IntegerField(help_text="With their proofs.")
    file_max_bytes = serializers.IntegerField(help_text="Of one picture.")
    picture_max_pixels = serializers.IntegerField(help_text="Width times height.")
    check_kept_hours = serializers.IntegerField(help_text="After that the picture that was checked is deleted.")
    import_max_files = serializers.IntegerField(help_text="In one request; more fit into a ZIP archive.")
    import_max_bytes = serializers.IntegerField(help_text="Of one request to add pictures, unpacked too.")
    signature_max_bytes = serializers.IntegerField(help_text="Of the signature file of an artwork.")
    storage_quota_bytes = serializers.IntegerField(help_text="What your organisation may have registered.")
    storage_used_bytes = serializers.IntegerField(help_text="What it has.")


class KeySerializer(serializers.Serializer[ApiKey]):
    """A key, without its secret."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="How the secret begins, to tell keys apart.")
    organisation = OrganisationSerializer()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class MeSerializer(KeySerializer):
    """A key and what it is held to."""

    limits = LimitsSerializer()


class Me(ApiView):
    """The key that asks."""

    tag = "Key"
    scopes: ClassVar = {"GET": ANY_KEY}

    @describe(
        name="me",
        summary="Read your key",
        answers={200: OpenApiResponse(MeSerializer, "The key.", [examples.ME])},
    )
    def get(self, request: Request) -> Response:
        """Return the name, organisation, scopes and end of the key that asks, and the limits it is held to."""
        key = key_of(request)
        limits = {
            "requests_per_minute": settings.REQUESTS_PER_MINUTE_KEY,
            "checks_per_hour": settings.CHECKS_PER_HOUR_KEY,
            "artworks_per_hour": settings.ARTWORKS_PER_HOUR,
            "file_max_bytes": settings.UPLOAD_MAX_BYTES,
            "picture_max_pixels": settings.UPLOAD_MAX_PIXELS,
            "check_kept_hours": settings.CHECK_RETENTION_HOURS,
            "import_max_files": settings.IMPORT_MAX_FILES,
            "import_max_bytes": settings.IMPORT_MAX_BYTES,
            "signature_max_bytes": settings.SIGNATURE_MAX_BYTES,
            "storage_quota_bytes": key.organisation.storage_quota_bytes,
            "storage_used_bytes": storage_used(key.organisation),
        }
        return Response({**KeySerializer(key).data, "limits": limits})
