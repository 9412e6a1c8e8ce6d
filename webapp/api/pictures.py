"""One picture in a request, opened while its sender waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request

from provenance.images.decode import DecodeError, Limits, decode
from webapp.errors import ErrorCode, ProductError

_MOST_PIXELS = 16_000_000
REFUSALS = {
    400: (ErrorCode.FILE_EMPTY, ErrorCode.TOO_MANY_FILES, ErrorCode.INVALID),
    413: (ErrorCode.FILE_TOO_LARGE,),
    415: (ErrorCode.PICTURE_UNREADABLE, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
}
"""How a view that takes a picture may refuse it, for its description."""


class PictureSerializer(serializers.Serializer[Any]):
    """A picture to open at once."""

    file = serializers.FileField(allow_empty_file=True, help_text="One picture, at most 16 million pixels.")


def picture_sent(request: Request) -> UploadedFile[bytes]:
    """Return the one file of a request.

    Raises:
        ValidationError: there is none.
        ProductError: there are several, or it is empty or too large.
    """
    asked = PictureSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    if len(request.FILES.getlist("file")) > 1:
        raise ProductError(ErrorCode.TOO_MANY_FILES, _("Several files came. Send one picture with each request."))
    upload: UploadedFile[bytes] = asked.validated_data["file"]
    if not upload.size:
        raise ProductError(ErrorCode.FILE_EMPTY, _("The file has no bytes. Send a picture."))
    if upload.size > settings.UPLOAD_MAX_BYTES:
        raise ProductError(ErrorCode.FILE_TOO_LARGE, _("The file is too large. Make it smaller."), status=413)
    return upload


def opened(upload: UploadedFile[bytes]) -> npt.NDArray[np.uint8]:
    """Return the pixels of a picture that was sent, uint8 ``[H, W, 3]`` sRGB.

    Raises:
        ProductError: it is no picture that can be read, or one of too many pixels.
    """
    limits = Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=_MOST_PIXELS)
    try:
        return decode(upload.read(), limits).pixels
    except DecodeError as error:
        raise ProductError(ErrorCode.PICTURE_UNREADABLE, error.message, status=415) from error
