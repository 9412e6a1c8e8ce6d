"""What the examiners of one check share: the picture, and what those before have found."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.utils.translation import gettext as _

from provenance.hashing.code import Fingerprint, HashCode
from provenance.hashing.descriptor import Vectors
from provenance.images.decode import Picture
from provenance.matching.verify import PairVerdict
from webapp.checks.models import Check, EvidenceKind, Outcome
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import Job
from webapp.jobs.services import hold_claim
from webapp.registry.models import Work
from webapp.signatures.selectors import Looked


@dataclass(frozen=True)
class EvidenceDraft:
    """One finding, before it is a row. ``summary`` is one sentence of at most 400 characters; ``data`` is JSON.

    What is in ``data`` goes into the receipt as it is: figures, no keys of files, nothing that changes later.
    """

    kind: EvidenceKind
    outcome: Outcome
    summary: str
    data: dict[str, Any]
    version: str
    work: Work | None = None
    ordinal: int = 0


@dataclass(frozen=True)
class Near:
    """How near a candidate is under one algorithm.

    Attributes:
        distance: the least over the picture's eight variants, Hamming distance in bits; of descriptors over its parts,
            1 - cosine in thousandths.
        variant: which of them has it, an index into ``provenance.hashing.dihedral.TRANSFORMS`` or of the part.
    """

    distance: int
    variant: int


@dataclass(frozen=True)
class Suspect:
    """A live work within the candidate radius of at least one algorithm. It is not a match.

    Attributes:
        near: by algorithm, where it lies within that one's candidate radius.
        is_near: whether it lies within the near radius of any.
    """

    work_id: uuid.UUID
    near: dict[str, Near]
    is_near: bool


@dataclass(frozen=True, eq=False)
class Pair:
    """A candidate laid over the picture.

    Attributes:
        verdict: None where the registered file could not be read.
        part: what the picture has of the work, uint8 ``[h, w, 3]``, where they agree and it shows other things too.
    """

    ordinal: int
    work: Work
    suspect: Suspect
    verdict: PairVerdict | None
    part: npt.NDArray[np.uint8] | None


@dataclass(eq=False)
class Context:
    """One check on its way.

    Attributes:
        data: the file, byte for byte.
        report: says how far the present step is: ``report(done, total, note)``. It raises JobCancelled or
            ClaimLost, which must be let pass.
        registry_size: live works when the check began.
        algorithms: part -> version; each examiner adds its own.
        picture: set by the step "decode".
        fingerprints: one of every algorithm; ``codes``: the eight variants, of the usable ones only.
        descriptors: of the picture's parts, float32 ``[parts, 256]``; None where it is too simple.
        looked: what looking for a signature came to, None where none could be looked for; ``named``: works that it
            names, which are verified whatever looks alike.
        suspects: best first; ``pairs``: those of them that were verified, in that order.
        evidence: of the steps done so far.
    """

    check: Check
    job: Job
    data: bytes
    report: Callable[[int, int, str], None]
    registry_size: int
    algorithms: dict[str, str] = field(default_factory=dict)
    picture: Picture = field(init=False)
    fingerprints: list[Fingerprint] = field(default_factory=list)
    codes: dict[str, list[HashCode]] = field(default_factory=dict)
    descriptors: Vectors | None = None
    looked: Looked | None = None
    named: list[uuid.UUID] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    evidence: list[EvidenceDraft] = field(default_factory=list)

    @contextmanager
    def fenced(self) -> Iterator[Check]:
        """Open a transaction in which this process alone may write this check's rows and files; yield the row.

        Raises:
            ClaimLost: another process does this check now.
            ProductError: the upload was deleted in the meantime, and nothing may be made from it any more.
        """
        with transaction.atomic():
            hold_claim(job=self.job)
            check = Check.objects.select_for_update(of=("self",)).get(pk=self.check.pk)
            if check.file_deleted_at is not None:
                raise upload_gone()
            yield check


class Examiner(Protocol):
    """One step of a check. ``examine`` runs outside a transaction, and may run twice for the same check."""

    key: str
    label: Any

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """Look, add to the context what later examiners need, and return what was found.

        Raises:
            ProductError: the check cannot be done; the message tells whoever sent the picture what to do.
        """
        ...


def upload_gone() -> ProductError:
    """Return the refusal of work on an upload that is not there any more."""
    return ProductError(
        ErrorCode.GONE, _("The picture was deleted before the check was done. Send it again to check it."), status=410
    )
