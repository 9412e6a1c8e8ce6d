"""From evidence to one verdict in words.

The rules, strongest first. A candidate by itself is never a match, and a verdict is never an accusation.

1. The same file or the same pixels are registered: **Registered**.
2. A pair was verified, or reviewers confirmed it: **Registered**.
3. A pair agrees in part: **Probably registered**.
4. A genuine signature points to a record, and comparing the two does not speak against it: **Probably registered**.
5. An encrypted catalogue reports a match, which nothing can verify: **A private catalogue reports a match**.
6. A near candidate could not be verified, or the picture is too simple to fingerprint: **Cannot tell**.
7. Otherwise: **Not found here**, which says nothing of any place but this registry.

A signature alone is a pointer: it never makes the verdict Registered. What reviewers decided on a pair stands above
what the algorithms say of it, signatures included; it never touches an exact match.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from webapp.checks.figures import work_named
from webapp.checks.models import EvidenceKind, Outcome, Verdict

VERSION = "verdict-v2"


class Finding(Protocol):
    """What the rules read of a piece of evidence, drafted or stored."""

    @property
    def kind(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def data(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Fused:
    """The answer and the sentences that explain it."""

    verdict: Verdict
    explanation: str


def fuse(evidence: Sequence[Finding], *, registry_size: int) -> Fused:
    """Return the verdict of :func:`_fuse`, and say beside it where a signature was copied from another record
    and reviewers do not know better.

    SIGNATURE evidence says with ``data["standing"]`` whether it is on another picture than it was given to.
    """
    fused = _fuse(evidence, registry_size=registry_size)
    reviews = (item for item in evidence if item.kind == EvidenceKind.REVIEW)
    confirmed = {_work_id(item) for item in reviews if item.outcome == Outcome.FOR}
    for item in evidence:
        copied = item.kind == EvidenceKind.SIGNATURE and item.data["standing"] == "copied"
        if copied and _work_id(item) not in confirmed:
            return Fused(fused.verdict, f"{fused.explanation} {_copied_words(item)}")
    return fused


def _fuse(evidence: Sequence[Finding], *, registry_size: int) -> Fused:
    """Return the verdict on a check's evidence.

    ``data["work"]["id"]`` names the work that a piece of evidence is about. PAIR evidence says with
    ``data["near"]`` whether the candidate lay within the near radius; CANDIDATES evidence counts with
    ``data["near_unverified"]`` those that no pair was made of; PICTURE evidence says with ``data["usable"]``
    whether any algorithm could fingerprint the picture.
    """
    exact = [item for item in evidence if item.kind == EvidenceKind.EXACT and item.outcome == Outcome.FOR]
    if exact:
        return Fused(Verdict.REGISTERED, _exact_words(exact))

    pairs = {_work_id(item): item for item in evidence if item.kind == EvidenceKind.PAIR}
    reviews = {_work_id(item): item for item in evidence if item.kind == EvidenceKind.REVIEW}
    confirmed = [item for item in reviews.values() if item.outcome == Outcome.FOR]
    rejected = {work for work, item in reviews.items() if item.outcome == Outcome.AGAINST}
    standing = [item for work, item in pairs.items() if work not in rejected]
    verified = [item for item in standing if item.outcome == Outcome.FOR]
    if verified or confirmed:
        return Fused(Verdict.REGISTERED, _verified_words(verified, confirmed))

    partial = [item for item in standing if item.outcome == Outcome.LEANS]
    if partial:
        return Fused(Verdict.PROBABLY_REGISTERED, _partial_words(partial))

    signed = [item for item in evidence if item.kind == EvidenceKind.SIGNATURE and item.outcome == Outcome.LEANS]
    signed = [item for item in signed if _work_id(item) not in rejected]
    if signed:
        return Fused(Verdict.PROBABLY_REGISTERED, _signed_words(signed[0]))

    private = [item for item in evidence if item.kind == EvidenceKind.PRIVATE and item.outcome == Outcome.LEANS]
    if private:
        return Fused(Verdict.PRIVATE_MATCH, _private_words(private))

    undecided = sum(1 for item in standing if item.outcome == Outcome.NEUTRAL and item.data["near"])
    undecided += max(
        (item.data["near_unverified"] for item in evidence if item.kind == EvidenceKind.CANDIDATES), default=0
    )
    if undecided:
        return Fused(Verdict.CANNOT_TELL, _undecided_words(undecided))
    if not all(item.data["usable"] for item in evidence if item.kind == EvidenceKind.PICTURE):
        return Fused(Verdict.CANNOT_TELL, _too_simple_words())
    return Fused(Verdict.NOT_FOUND, _not_found_words(registry_size))


def _work_id(item: Finding) -> uuid.UUID:
    return uuid.UUID(item.data["work"]["id"])


def _named(item: Finding, others: int) -> str:
    name = work_named(item.data["work"])
    if not others:
        return name
    return name + ngettext(" (and %(n)d more work)", " (and %(n)d more works)", others) % {"n": others}


def _exact_words(exact: Sequence[Finding]) -> str:
    best = min(exact, key=lambda item: item.data["match"] != "file")
    works = len({_work_id(item) for item in exact})
    if best.data["match"] == "file":
        sentence = _("This very file is in the registry: %(work)s.")
    else:
        sentence = _("Every pixel of this picture is that of a work in the registry: %(work)s.")
    return sentence % {"work": _named(best, works - 1)}


def _verified_words(verified: Sequence[Finding], confirmed: Sequence[Finding]) -> str:
    works = len({_work_id(item) for item in (*verified, *confirmed)})
    if not verified:
        return _("Reviewers have looked at this pair and confirmed it: %(work)s is in this picture.") % {
            "work": _named(confirmed[0], works - 1)
        }
    best = max(verified, key=_how_sure)
    return _(
        "This picture shows the work %(work)s: laid over each other they agree, and %(percent)d%% of "
        "the registered picture is in it."
    ) % {"work": _named(best, works - 1), "percent": round(100 * best.data["overlap_reference"])}


def _how_sure(item: Finding) -> tuple[float, int]:
    """Order pairs; those of earlier versions of verification have no probability."""
    return item.data.get("probability", 0.0), item.data["inliers"]


def _partial_words(partial: Sequence[Finding]) -> str:
    best = max(partial, key=_how_sure)
    return _(
        "Part of this picture agrees with the work %(work)s, but less than we ask for to be sure. "
        "Look at the two side by side."
    ) % {"work": _named(best, len(partial) - 1)}


def _signed_words(signed: Finding) -> str:
    return _(
        "A genuine signature in this picture points to the work %(work)s. A signature is a pointer, not a proof: "
        "comparing the two pictures was not enough to be sure. Look at them yourself."
    ) % {"work": _named(signed, 0)}


def _copied_words(signed: Finding) -> str:
    return _(
        "It carries the signature of another record, %(work)s, which was copied onto it unless this is that picture, "
        "altered beyond recognition."
    ) % {"work": _named(signed, 0)}


def _private_words(private: Sequence[Finding]) -> str:
    data = private[0].data
    sentence = _(
        "The private catalogue “%(name)s” of %(holder)s reports that something in it looks like this picture. It is "
        "encrypted, so that nobody could lay the two over each other: this is a reason to ask its holder, and no "
        "proof. By chance alone, %(expected)s of its %(entries)d entries would match another picture, measured; "
        "%(bound)s at most (95%% bound)."
    )
    return sentence % {
        "name": data["name"],
        "holder": data["holder"],
        "entries": data["entries"],
        "expected": f"{data['expected_false']['measured']:.1e}" if data["expected_false"]["measured"] else _("none"),
        "bound": f"{data['expected_false']['upper_bound']:.1e}",
    }


def _undecided_words(count: int) -> str:
    return ngettext(
        "%(n)d registered picture looks much like this one, but there is too little in them to tell a copy "
        "from a coincidence. A larger or less edited version may settle it.",
        "%(n)d registered pictures look much like this one, but there is too little in them to tell a copy "
        "from a coincidence. A larger or less edited version may settle it.",
        count,
    ) % {"n": count}


def _too_simple_words() -> str:
    return _(
        "This picture is too simple to fingerprint: nearly one colour, a plain pattern or very small. Its exact "
        "file is not registered here, and no more can be said."
    )


def _not_found_words(registry_size: int) -> str:
    if not registry_size:
        return _("This registry is empty, so nothing can be found in it yet.")
    return ngettext(
        "Nothing in this registry of %(n)d work matches this picture. It may have been altered beyond what we find, "
        "be registered elsewhere, or not at all; "
        "that it is free to use does not follow.",
        "Nothing in this registry of %(n)d works matches this picture. It may have been altered beyond what we find, "
        "be registered elsewhere, or not at all; "
        "that it is free to use does not follow.",
        registry_size,
    ) % {"n": registry_size}
