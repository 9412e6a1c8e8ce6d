"""Pictures that a holder sends to this site: to the trusted worker, through a pipe, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from provenance.private_lookup import frames
from webapp.accounts.models import User
from webapp.accounts.services import audit
from webapp.errors import ErrorCode, ProductError
from webapp.private.content import content_sync, require_site_held
from webapp.private.feature import require_feature
from webapp.private.models import PrivateCatalogue
from webapp.private.services import holder_identity
from webapp.private.storage import holder_locked, meeting_of
from webapp.uploads import shown_name

# Of one upload. Pictures lie in memory while they are hashed.
MOST_FILES = 100
MOST_BYTES = 256 * 1024**2
_SECONDS = 300.0


@dataclass(frozen=True)
class Taken:
    """Attributes:
    taken: names of the pictures whose hashes are encrypted now.
    refused: name and reason of those that are not.
    """

    taken: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


def pictures_take(
    *, private: PrivateCatalogue, uploads: Sequence[UploadedFile[Any]], actor: User, compact: bool = False
) -> Taken:
    """Have pictures hashed and encrypted; an entry's name is its file's. Takes seconds.

    Args:
        compact: these are the pictures that stay in blocks with deleted entries, which are encrypted anew.

    Raises:
        ProductError: there is none, too many or too large, or the worker cannot do it; nothing was changed then.
    """
    require_feature()
    require_site_held(private)
    _require_fitting(uploads)
    names = [shown_name(upload.name) for upload in uploads]
    pictures = []
    for upload in uploads:
        upload.seek(0)
        pictures.append(upload.read())
    with holder_locked(private) as folder:
        head = {
            "do": "compact" if compact else "append",
            "folder": str(folder),
            "keys": str(meeting_of(private).keys),
            "names": names,
            "most_pixels": settings.UPLOAD_MAX_PIXELS,
        }
        parts = [holder_identity(private).to_bytes(), private.agreement.to_json(), *pictures]
        said = _have_done(frames.pack(head, parts))
        if "problem" in said:
            raise ProductError(ErrorCode.INVALID, str(said["problem"]))
        found = Taken(tuple(said["taken"]), tuple((name, why) for name, why in said["refused"]))
        if found.taken:
            # Names of files and their number; what is in them is known to nobody any more.
            audit(
                verb="private.compacted" if compact else "private.pictures_encrypted",
                obj=private.catalogue,
                actor=actor,
                organisation=private.catalogue.organisation,
                data={"count": len(found.taken)},
            )
        content_sync(private=private, actor=actor)
    return found


def _have_done(request: bytes) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "webapp.private.intake_process"],
            input=request,
            stdout=subprocess.PIPE,
            # What a library says of a picture is nobody's business.
            stderr=subprocess.DEVNULL,
            cwd=settings.BASE_DIR,
            timeout=_SECONDS,
        )
        read = frames.read(BytesIO(done.stdout))
    except (subprocess.TimeoutExpired, frames.FrameError):
        read = None
    if read is None:
        raise ProductError(
            ErrorCode.PRIVATE_UNAVAILABLE,
            _("The worker that encrypts ended before it was done. Send the pictures again; none was kept."),
            status=503,
            retry_after=5,
        )
    return read[0]


def _require_fitting(uploads: Sequence[UploadedFile[Any]]) -> None:
    if not uploads:
        raise ProductError(ErrorCode.FILE_MISSING, _("Choose at least one picture."))
    if len(uploads) > MOST_FILES:
        raise ProductError(
            ErrorCode.TOO_MANY_FILES,
            _("%(n)d pictures came; send at most %(most)d at once.") % {"n": len(uploads), "most": MOST_FILES},
            status=413,
        )
    large = [shown_name(upload.name) for upload in uploads if (upload.size or 0) > settings.UPLOAD_MAX_BYTES]
    if large:
        raise ProductError(
            ErrorCode.FILE_TOO_LARGE,
            _("A picture has at most %(size)s, and none was taken. Leave out: %(names)s")
            % {"size": filesizeformat(settings.UPLOAD_MAX_BYTES), "names": ", ".join(large)},
            status=413,
        )
    if sum(upload.size or 0 for upload in uploads) > MOST_BYTES:
        raise ProductError(
            ErrorCode.FILE_TOO_LARGE,
            _("All pictures together have at most %(size)s. Send them in parts; none was taken.")
            % {"size": filesizeformat(MOST_BYTES)},
            status=413,
        )
