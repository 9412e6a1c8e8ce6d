"""The step that lays the best candidates over the picture, one by one, and decides on each pair."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.images.align import Alignment, common_part
from provenance.images.decode import DecodeError, Limits, decode, memory_limit
from provenance.matching.changes import changes
from provenance.matching.policy import ALWAYS_VERIFIED, MOST_VERIFIED
from provenance.matching.verify import VERSION, Overlay, PairKind, PairVerdict, described, pair_model, verify_described
from webapp import files
from webapp.checks.candidates import near_figures
from webapp.checks.context import Context, EvidenceDraft, Pair, Suspect
from webapp.checks.figures import work_figures, work_named
from webapp.checks.models import Check, EvidenceKind, Outcome
from webapp.checks.renditions import RGB, make_renditions
from webapp.checks.storage import rendition_key
from webapp.files import Area
from webapp.registry.models import Visibility, Work
from webapp.registry.renditions import MAX_SIDE, Size, rendition_read

_OUTCOMES = {
    PairKind.VERIFIED: Outcome.FOR,
    PairKind.PARTIAL: Outcome.LEANS,
    PairKind.REJECTED: Outcome.AGAINST,
    PairKind.UNDECIDABLE: Outcome.NEUTRAL,
}

REJECTIONS: list[Callable[[Check], set[uuid.UUID]]] = []
"""What later apps know of works that people found not to be in a check's picture."""


class VerifyPairs:
    """Verifies the nearest candidates, and makes pictures to look at of those that agree."""

    key = "verification"
    label = gettext_lazy("Comparing side by side")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`webapp.checks.context.Examiner`."""
        context.algorithms["verification"] = VERSION
        suspects = _named_first(context)[: MOST_VERIFIED + len(context.named)]
        works = Work.objects.live().select_related("organisation").in_bulk([each.work_id for each in suspects])
        query = described(context.picture.pixels) if suspects else None
        rejected = {work for rejections in REJECTIONS for work in rejections(context.check)}
        drafts: list[EvidenceDraft] = []
        for ordinal, suspect in enumerate(suspects):
            context.report(ordinal, len(suspects), "")
            if ordinal >= ALWAYS_VERIFIED and not suspect.is_near and _explained(context, rejected):
                continue
            # It may have been deleted since it was found.
            work = works.get(suspect.work_id)
            if work is None or query is None:
                continue
            reference = _reference(work)
            verdict = verify_described(query, described(reference)) if reference is not None else None
            pair = Pair(ordinal, work, suspect, verdict, _part(context.picture.pixels, reference, verdict))
            context.pairs.append(pair)
            drafts.append(_draft(pair, context.picture.pixels, reference))
            if (
                verdict is not None
                and reference is not None
                and verdict.alignment is not None
                and verdict.kind in (PairKind.VERIFIED, PairKind.PARTIAL)
                and work.visibility == Visibility.PUBLIC
            ):
                _keep_renditions(context, ordinal, reference, verdict.alignment)
        return drafts


def _named_first(context: Context) -> list[Suspect]:
    """Return the candidates, those that a signature names before the others, whether they look alike or not."""
    found = {suspect.work_id: suspect for suspect in context.suspects}
    named = [found.pop(work_id, Suspect(work_id, {}, is_near=False)) for work_id in context.named]
    return [*named, *found.values()]


def _explained(context: Context, rejected: set[uuid.UUID]) -> bool:
    """Whether one registered work that nobody rejected is all, or nearly all, that the picture shows."""
    return any(
        pair.verdict is not None and pair.verdict.explains_query and pair.work.pk not in rejected
        for pair in context.pairs
    )


def _reference(work: Work) -> RGB | None:
    """Return the registered picture, uint8 [H,W,3] sRGB, at most 2048 a side; None where it cannot be read.

    Key points are found at 640 a side, so that the reduced copy serves as well as the file and opens sooner.
    """
    side = MAX_SIDE[Size.FULL]
    try:
        with memory_limit(settings.WORKER_MEMORY_BYTES):
            return decode(rendition_read(work.sha256, Size.FULL), Limits(max_side=side, max_pixels=side * side)).pixels
    except (DecodeError, FileNotFoundError):
        return None


def _part(query: RGB, reference: RGB | None, verdict: PairVerdict | None) -> RGB | None:
    if reference is None or verdict is None or verdict.alignment is None or verdict.explains_query:
        return None
    if verdict.kind not in (PairKind.VERIFIED, PairKind.PARTIAL):
        return None
    height, width, _channels = reference.shape
    return common_part(query, (width, height), verdict.alignment)


def _keep_renditions(context: Context, ordinal: int, reference: RGB, alignment: Alignment) -> None:
    made = make_renditions(context.picture.pixels, reference, alignment)
    with context.fenced() as check:
        for rendition, data in made.items():
            files.write(Area.DERIVED, rendition_key(check.pk, ordinal, rendition), data)


def _draft(pair: Pair, query: RGB, reference: RGB | None) -> EvidenceDraft:
    data: dict[str, Any] = {
        "work": work_figures(pair.work),
        "near": pair.suspect.is_near,
        "distances": near_figures(pair.suspect.near),
    }
    name = {"work": work_named(data["work"])}
    if pair.verdict is None or reference is None:
        return EvidenceDraft(
            kind=EvidenceKind.PAIR,
            outcome=Outcome.NEUTRAL,
            summary=_("%(work)s looks alike, but its registered file could not be read.") % name,
            data={**data, "verdict": "unreadable"},
            version=VERSION,
            work=pair.work,
            ordinal=pair.ordinal,
        )
    verdict = pair.verdict
    data |= {
        "verdict": str(verdict.kind),
        "reasons": verdict.reasons,
        "thresholds": asdict(verdict.thresholds),
    }
    if verdict.kind == PairKind.VERIFIED:
        model = pair_model()
        measured, bound = model.false_verification_rate()
        data["false_verification"] = {
            "hard_pairs": model.hard_pairs,
            "false": model.false_verifications,
            "measured": round(measured, 8),
            "upper_bound": round(bound, 8),
        }
    if verdict.overlay is not None:
        # Rounded down: nothing is certain, and what is a match has reached the threshold.
        data["probability"] = min(math.floor(1e6 * verdict.probability), 999_999) / 1e6
        data |= _overlay_figures(verdict.overlay, reference)
        if verdict.kind in (PairKind.VERIFIED, PairKind.PARTIAL):
            data["changes"] = changes(query, reference, verdict.overlay.alignment)
    sentences = {
        PairKind.VERIFIED: _("Laid over %(work)s, the two agree."),
        PairKind.PARTIAL: _("Laid over %(work)s, the two agree in part."),
        PairKind.REJECTED: _("Laid over %(work)s, the two do not agree: a look-alike only."),
        PairKind.UNDECIDABLE: _("%(work)s looks alike, but there is too little detail to compare."),
    }
    return EvidenceDraft(
        kind=EvidenceKind.PAIR,
        outcome=_OUTCOMES[verdict.kind],
        summary=sentences[verdict.kind] % name,
        data=data,
        version=verdict.version,
        work=pair.work,
        ordinal=pair.ordinal,
    )


def _overlay_figures(overlay: Overlay, reference: RGB) -> dict[str, Any]:
    """Return the JSON of an overlay; corners are parts of the registered picture's width and height."""
    alignment, agreement = overlay.alignment, overlay.agreement
    height, width, _channels = reference.shape
    corners = (alignment.corners + 0.5) / np.array([width, height])
    return {
        "inliers": alignment.inliers,
        "key_point_matches": alignment.matches,
        "inlier_ratio": round(alignment.inlier_ratio, 4),
        "similarity": round(alignment.similarity, 4),
        "shapes": round(agreement.shapes, 4),
        "details": round(agreement.details, 4),
        "colour": round(agreement.colour, 4),
        "descriptor": round(overlay.descriptor, 4),
        "overlap_query": round(alignment.overlap_query, 4),
        "overlap_reference": round(alignment.overlap_reference, 4),
        "mirrored": alignment.mirrored,
        "corners": [[round(float(value), 4) for value in corner] for corner in corners],
    }
