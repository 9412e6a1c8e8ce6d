"""What a holder or a client with keys of its own needs of a private catalogue: all of it is public."""

from __future__ import annotations

import io
import zipfile

from django.utils.translation import gettext as _

from webapp.errors import ErrorCode, ProductError
from webapp.private.models import PrivateCatalogue, PrivateState
from webapp.private.storage import meeting_of

# Keys of evaluation are hundreds of megabytes, and whoever encrypts needs none of them.
_KEYS = ("keys.json", "public")


def kit(private: PrivateCatalogue) -> bytes:
    """Return a ZIP archive of agreement, public key and, once there is one, manifest.

    Raises:
        ProductError: the keys are not made yet (409).
    """
    if private.state != PrivateState.READY or private.agreement_json is None:
        raise ProductError(
            ErrorCode.CONFLICT, _("The keys of this catalogue are not made yet."), status=409, retry_after=10
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("agreement.json", bytes(private.agreement_json))
        for name in _KEYS:
            archive.write(meeting_of(private).keys / name, f"keys/{name}")
        if private.manifest is not None:
            archive.writestr("catalogue/manifest", bytes(private.manifest))
    return buffer.getvalue()
