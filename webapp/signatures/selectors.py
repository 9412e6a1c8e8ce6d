"""Reading signatures: who may see which code, and which one a picture has."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import Http404

from provenance.hashing.code import HashCode
from provenance.matching.bearing import SIGNED_HASH
from provenance.watermark.presence import presence
from provenance.watermark.read import Reading, genuine, read
from webapp.accounts.models import User
from webapp.accounts.selectors import organisations_of, organisations_to_fill
from webapp.registry.access import work_get
from webapp.registry.models import Work
from webapp.signatures.keys import vouches
from webapp.signatures.models import Kind, SignatureCode
from webapp.signatures.signing import why_not

RGB = npt.NDArray[np.uint8]
Viewer = User | AnonymousUser


@dataclass(frozen=True)
class SeenSigning:
    """A work's signature as somebody sees it.

    Attributes:
        code: in force, or None before the first signed copy.
        write: whether they may have it signed and revoke that: owners and editors.
        refusal: why the picture cannot be signed; empty where it can.
    """

    work: Work
    code: SignatureCode | None
    write: bool
    refusal: str


def signing_get(*, user: Viewer, work_id: uuid.UUID | str) -> SeenSigning:
    """Return a registered work's signature.

    Raises:
        Http404: there is no such work, or its file is not for them.
    """
    seen = work_get(user=user, work_id=work_id)
    # The file of a work that was generated here is all pixels; others may tell where a photograph was taken.
    if not (seen.member or (seen.picture and hasattr(seen.work, "artwork"))):
        raise Http404
    return SeenSigning(
        work=seen.work,
        code=code_of(seen.work),
        write=organisations_to_fill(user).filter(pk=seen.work.organisation_id).exists(),
        refusal=why_not(seen.work),
    )


def code_of(work: Work) -> SignatureCode | None:
    """Return the code in force of a work."""
    return work.signature_codes.filter(revoked_at=None).select_related("job").first()


def work_code(work: Work) -> HashCode | None:
    """Return the perceptual hash that a work's signature is bound to; None where the work has none."""
    row = work.fingerprints.filter(algorithm=SIGNED_HASH).first()
    if row is None:
        return None
    return HashCode(SIGNED_HASH, int(row.bits, 2).to_bytes(len(row.bits) // 8, "big"), len(row.bits))


def generators_of(user: Viewer) -> QuerySet[SignatureCode]:
    """Return the codes of generators of this person's organisations, newest first, revoked ones too."""
    return SignatureCode.objects.filter(kind=Kind.GENERATOR, organisation__in=organisations_of(user)).select_related(
        "organisation"
    )


def generator_get(*, user: Viewer, code_id: uuid.UUID | str) -> tuple[SignatureCode, bool]:
    """Return a generator's code and whether this person may change it.

    Raises:
        Http404: there is none, or it is not of an organisation of theirs.
    """
    code = generators_of(user).filter(pk=code_id).first()
    if code is None:
        raise Http404
    return code, organisations_to_fill(user).filter(pk=code.organisation_id).exists()


@dataclass(frozen=True)
class Pointer:
    """A genuine signature that was read: its code, in force or not, and where it lies in the picture."""

    code: SignatureCode
    reading: Reading

    def placement(self) -> dict[str, Any]:
        """Return the JSON of how the picture was turned, scaled and mirrored since it was signed."""
        placed = self.reading.placement
        return {
            # Without the sign of a negative nought.
            "turned_degrees": round(placed.turned, 1) + 0.0,
            "magnified": round(placed.magnified, 3),
            "mirrored": placed.mirrored,
            "fit": round(self.reading.fit, 3),
        }


@dataclass(frozen=True)
class Looked:
    """What looking for a signature came to.

    Attributes:
        pointer: this site's signature that was read; None where there is none that can be.
        presence: probability, 0 to 1, that the picture was signed at all, see :mod:`provenance.watermark.presence`.
    """

    pointer: Pointer | None
    presence: float


def look(pixels: RGB) -> Looked:
    """Look for a signature of this site in a picture, uint8 ``[H,W,3]``; it costs about a second.

    Raises:
        provenance.models.errors.ModelMissing: the networks are not here.
    """
    readings = read(pixels)
    numbers = [reading.payload.number for reading in readings]
    found = SignatureCode.objects.select_related("organisation", "work__organisation").filter(number__in=numbers)
    codes = {code.number: code for code in found}
    reading = genuine(
        readings,
        lambda payload: payload.number in codes and vouches(codes[payload.number], payload),
    )
    pointer = None if reading is None else Pointer(codes[reading.payload.number], reading)
    return Looked(pointer, presence(readings))
