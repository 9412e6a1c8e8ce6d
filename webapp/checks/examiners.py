"""The steps of a check, in order. Later apps append theirs to :data:`EXAMINERS`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from provenance.hashing.descriptor import DESCRIPTOR
from provenance.hashing.hasher import RETIRED
from provenance.images.decode import DecodeError, Limits, decode, encode_jpeg, memory_limit, thumbnail
from webapp import files
from webapp.checks.candidates import SearchCandidates
from webapp.checks.context import Context, EvidenceDraft, Examiner
from webapp.checks.figures import work_figures, work_named
from webapp.checks.models import EvidenceKind, Outcome
from webapp.checks.origin import JudgeOrigin
from webapp.checks.pairs import VerifyPairs
from webapp.checks.signature import ReadSignature, WeighSignature
from webapp.checks.storage import preview_key
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.processors import take_share_of_processors
from webapp.registry.fingerprints import hashers_searched
from webapp.registry.selectors import works_exact

__all__ = ["EXAMINERS", "Context", "EvidenceDraft", "Examiner", "limits", "steps"]

PREVIEW_SIDE = 1600
_MOST_EXACT = 20


def limits() -> Limits:
    """Return what an upload may ask of the decoder."""
    return Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=settings.UPLOAD_MAX_PIXELS)


class Decode:
    """Opens the file, within a limit of memory, and keeps a reduced copy without metadata to look at."""

    key = "decode"
    label = gettext_lazy("Opening the picture")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`Examiner`. What the picture is goes into the evidence of the fingerprints."""
        try:
            with memory_limit(settings.WORKER_MEMORY_BYTES):
                picture = decode(context.data, limits())
                preview = encode_jpeg(thumbnail(picture.pixels, PREVIEW_SIDE), quality=85)
        except DecodeError as error:
            raise ProductError(ErrorCode.PICTURE_UNREADABLE, error.message, status=422) from error
        height, width, _channels = picture.pixels.shape
        with context.fenced() as check:
            files.write(Area.DERIVED, preview_key(check.pk), preview)
            check.media_type, check.width, check.height = picture.media_type, width, height
            check.pixel_sha256 = picture.pixel_sha256
            check.save(update_fields=("media_type", "width", "height", "pixel_sha256"))
        context.check = check
        context.picture = picture
        return []


class FindExact:
    """Looks for the same file and for the same pixels."""

    key = "exact"
    label = gettext_lazy("Looking for the same file")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`Examiner`."""
        context.algorithms |= {"file": "sha256", "pixels": "sha256-pixels-v1"}
        check = context.check
        found = works_exact(sha256=check.sha256, pixel_sha256=check.pixel_sha256)[:_MOST_EXACT]
        digests = {"sha256": check.sha256, "pixel_sha256": check.pixel_sha256}
        drafts = []
        for ordinal, work in enumerate(found):
            same_file = work.sha256 == check.sha256
            figures = work_figures(work)
            name = {"work": work_named(figures)}
            if same_file:
                summary = _("The same file, byte for byte, is in the registry: %(work)s.") % name
            else:
                summary = _("Another file with the same pixels is in the registry: %(work)s.") % name
            drafts.append(
                EvidenceDraft(
                    kind=EvidenceKind.EXACT,
                    outcome=Outcome.FOR,
                    summary=summary,
                    data={**digests, "match": "file" if same_file else "pixels", "work": figures},
                    version="sha256" if same_file else "sha256-pixels-v1",
                    work=work,
                    ordinal=ordinal,
                )
            )
        if drafts:
            return drafts
        return [
            EvidenceDraft(
                kind=EvidenceKind.EXACT,
                outcome=Outcome.NEUTRAL,
                summary=_("No registered file is the same, byte for byte, and none has the same pixels."),
                data={**digests, "match": "none"},
                version="sha256",
            )
        ]


class TakeFingerprints:
    """Hashes the picture under every algorithm, in its eight turned and mirrored variants."""

    key = "fingerprints"
    label = gettext_lazy("Taking fingerprints")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`Examiner`."""
        picture = context.picture
        take_share_of_processors()
        figures: dict[str, Any] = {}
        hashers = hashers_searched()
        for done, (algorithm, hasher) in enumerate(hashers.items()):
            context.report(done, len(hashers), algorithm)
            (fingerprint,) = hasher.hash([picture.pixels])
            context.fingerprints.append(fingerprint)
            name = algorithm if algorithm in RETIRED else algorithm.rsplit("-", 1)[0]
            context.algorithms[f"fingerprint {name}"] = algorithm
            if fingerprint.usable:
                context.codes[algorithm] = hasher.hash_dihedral(picture.pixels)
            figures[algorithm] = {
                "bits": hasher.length,
                "quality": round(fingerprint.quality, 4),
                "usable": fingerprint.usable,
            }
        context.descriptors = DESCRIPTOR.describe_query(picture.pixels)
        context.algorithms["descriptor"] = DESCRIPTOR.algorithm
        height, width, _channels = picture.pixels.shape
        usable = len(context.codes)
        if not usable:
            summary = _("This picture is too simple to fingerprint: nearly one colour, a plain pattern or very small.")
        elif usable < len(figures):
            summary = ngettext(
                "%(n)d of %(all)d fingerprints could be taken; for the others this picture is too simple.",
                "%(n)d of %(all)d fingerprints could be taken; for the others this picture is too simple.",
                usable,
            ) % {"n": usable, "all": len(figures)}
        else:
            summary = _("The picture could be opened and has enough detail to fingerprint.")
        return [
            EvidenceDraft(
                kind=EvidenceKind.PICTURE,
                outcome=Outcome.NEUTRAL,
                summary=summary,
                data={
                    "format": picture.format,
                    "width": width,
                    "height": height,
                    "frames": picture.frames,
                    "byte_size": context.check.byte_size,
                    "fingerprints": figures,
                    "usable": bool(usable),
                },
                version=" ".join(figures),
            )
        ]


EXAMINERS: list[Examiner] = [
    Decode(),
    FindExact(),
    TakeFingerprints(),
    SearchCandidates(),
    ReadSignature(),
    VerifyPairs(),
    WeighSignature(),
    JudgeOrigin(),
]


def steps() -> list[tuple[str, Any]]:
    """Return the key and label of every step of a check, for its job."""
    return [
        ("received", gettext_lazy("Received")),
        *((examiner.key, examiner.label) for examiner in EXAMINERS),
        ("verdict", gettext_lazy("Weighing the evidence")),
    ]
