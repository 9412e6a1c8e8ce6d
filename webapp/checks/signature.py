"""The steps that look for a signature in the picture, and hold the picture against the record that one points to.

A signature is a pointer: whose record it names is known by its tag; whether this picture is that record's is another
question, which look-alike and side-by-side verification answer.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.hashing.code import HashCode
from provenance.matching.bearing import SIGNED_HASH, Bearing, bearing, hasher_of, signed_hash
from provenance.matching.verify import PairKind
from provenance.models.errors import ModelError
from provenance.watermark.networks import ALGORITHM
from provenance.watermark.presence import LIKELY
from webapp.checks.context import Context, EvidenceDraft
from webapp.checks.figures import work_figures, work_named
from webapp.checks.models import EvidenceKind, Outcome
from webapp.jobs.processors import take_share_of_processors
from webapp.registry.models import Work
from webapp.signatures.keys import false_acceptance
from webapp.signatures.models import Kind, SignatureCode
from webapp.signatures.selectors import RGB, look, work_code

log = logging.getLogger(__name__)


class Standing(StrEnum):
    """What a signature says of the picture that it was read from."""

    OWN = "own"
    UNSETTLED = "unsettled"
    COPIED = "copied"
    GENERATOR = "generator"
    REVOKED = "revoked"
    DELETED = "deleted"
    TRACES = "traces"
    NONE = "none"
    NOT_LOOKED = "not_looked"
    NOT_AT_HAND = "not_at_hand"


class ReadSignature:
    """Reads the signature and has the record that it names compared with the picture, whatever looks alike."""

    key = "signature"
    label = gettext_lazy("Looking for a signature")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`webapp.checks.context.Examiner`. What is found goes into the evidence of the next step."""
        if not SignatureCode.objects.exists():
            sentence = _("This registry has given out no signature yet, so that none was looked for.")
            return [_draft(Standing.NOT_LOOKED, sentence)]
        take_share_of_processors()
        try:
            context.looked = look(context.picture.pixels)
        except ModelError as problem:
            # What it says names files of this machine, and evidence may be public.
            log.warning("no signatures can be read: %s", problem)
            sentence = _("Signatures cannot be read now. Whoever runs this site finds why in its log.")
            return [_draft(Standing.NOT_AT_HAND, sentence)]
        context.algorithms["signature"] = ALGORITHM
        code = context.looked.pointer.code if context.looked.pointer else None
        if code is not None and code.revoked_at is None and code.work is not None and code.work.deleted_at is None:
            context.named.append(code.work.pk)
        return []


class WeighSignature:
    """Says what the signature points to, and whether the picture is the one that was signed.

    Where none was read, it looks again in the parts that agree with signed works: of a picture that is shown with much
    around it, as in a screenshot, the signature cannot be read as a whole.
    """

    key = "weighing"
    label = gettext_lazy("Holding the signature against its record")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`webapp.checks.context.Examiner`."""
        if context.looked is None:
            return []
        looked, codes = context.looked, context.codes.get(SIGNED_HASH, [])
        for part in _signed_parts(context) if looked.pointer is None else ():
            found = look(part)
            if found.pointer is not None:
                looked, codes = found, _codes(part)
                break
        pointer = looked.pointer
        if pointer is None:
            traces = looked.presence >= LIKELY
            sentence = (
                _(
                    "It was probably signed, but no signature of this registry can be read: edits have damaged it, or "
                    "it is another registry's."
                )
                if traces
                else _("No signature of this registry was found. There may be none, or one that edits have destroyed.")
            )
            data: dict[str, Any] = {"false_acceptance": false_acceptance(), "presence": round(looked.presence, 4)}
            return [_draft(Standing.TRACES if traces else Standing.NONE, sentence, data)]
        code, work = pointer.code, pointer.code.work
        data = {
            "number": code.number,
            "organisation": code.organisation.name,
            "given_at": code.created_at.isoformat(timespec="seconds"),
            "placement": {**pointer.placement(), "in_part": looked is not context.looked},
            "false_acceptance": false_acceptance(),
        }
        names = {"owner": code.organisation.name, "generator": code.name, "number": code.number}
        if code.kind == Kind.GENERATOR:
            data["generator"] = code.name
            if code.revoked_at is None:
                sentence = _(
                    "It has the signature of the generator “%(generator)s” of %(owner)s: by its maker's word, AI made "
                    "this picture. The generator's signature is the same in all its pictures, and can be copied."
                )
                return [_draft(Standing.GENERATOR, sentence % names, data)]
        if code.revoked_at is not None:
            data["revoked_at"] = code.revoked_at.isoformat(timespec="seconds")
            sentence = _("It has the signature %(number)d of %(owner)s, who has revoked it: it points to nothing.")
            return [_draft(Standing.REVOKED, sentence % names, data)]
        if work is None or work.deleted_at is not None:
            sentence = _("It has the signature %(number)d of %(owner)s; the record that it points to was deleted.")
            return [_draft(Standing.DELETED, sentence % names, data)]
        return [_pointing(context, codes, work, data)]


def _signed_parts(context: Context) -> list[RGB]:
    parts = {pair.work.pk: pair.part for pair in context.pairs if pair.part is not None}
    signed = set(SignatureCode.objects.filter(work__in=parts).values_list("work_id", flat=True))
    return [part for work, part in parts.items() if work in signed]


def _codes(part: RGB) -> list[HashCode]:
    return hasher_of(SIGNED_HASH).hash_dihedral(part) if signed_hash(part).usable else []


def _pointing(context: Context, codes: list[HashCode], work: Work, data: dict[str, Any]) -> EvidenceDraft:
    distance = _bearing(codes, work)
    pair = next((pair for pair in context.pairs if pair.work.pk == work.pk), None)
    kind = pair.verdict.kind if pair is not None and pair.verdict is not None else None
    standing = _standing(distance, kind)
    figures = work_figures(work)
    data |= {
        "work": figures,
        "verification": str(kind) if kind else None,
        **({"bearing": distance.figures()} if distance else {}),
    }
    sentences = {
        Standing.OWN: _("A genuine signature points to %(work)s, and this is that picture."),
        Standing.UNSETTLED: _(
            "A genuine signature points to %(work)s. Whether this is that picture could not be told by comparing them."
        ),
        Standing.COPIED: _(
            "A genuine signature of %(work)s, but on another picture: it was copied here, or this was altered beyond "
            "recognition. It says nothing of this picture."
        ),
    }
    leans = _leans(standing, distance, kind)
    return _draft(standing, sentences[standing] % {"work": work_named(figures)}, data, work, leans=leans)


def _bearing(codes: list[HashCode], work: Work) -> Bearing | None:
    """Return how far the picture's hash is from the record's; None where one of them has none."""
    original = work_code(work)
    return bearing(codes, original) if original is not None and codes else None


def _standing(distance: Bearing | None, kind: PairKind | None) -> Standing:
    """Weigh what comparing the two pictures gave: laying one over the other decides, the hash where that cannot. A hash
    can be steered by whoever has its network, so it never overrules what laying them over each other said."""
    if kind == PairKind.VERIFIED:
        return Standing.OWN
    if kind == PairKind.REJECTED:
        return Standing.COPIED if distance is not None and not distance.same else Standing.UNSETTLED
    if kind != PairKind.PARTIAL and distance is not None and distance.near:
        return Standing.OWN
    return Standing.UNSETTLED


def _leans(standing: Standing, distance: Bearing | None, kind: PairKind | None) -> bool:
    """Whether this speaks for the record at all: a signature can be written into any picture by whoever read it, so
    that one on a picture which nothing else ties to the record says nothing."""
    tied = kind == PairKind.PARTIAL or (distance is not None and distance.same)
    return standing is Standing.OWN or (standing is Standing.UNSETTLED and kind != PairKind.REJECTED and tied)


def _draft(
    standing: Standing,
    summary: str,
    data: dict[str, Any] | None = None,
    work: Work | None = None,
    *,
    leans: bool = False,
) -> EvidenceDraft:
    return EvidenceDraft(
        kind=EvidenceKind.SIGNATURE,
        outcome=Outcome.LEANS if leans else Outcome.NEUTRAL,
        summary=summary[:400],
        data={"standing": str(standing), **(data or {})},
        version=ALGORITHM,
        work=work,
    )
