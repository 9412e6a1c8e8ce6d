"""Evidence as cards for a page: each with its figure, its threshold, and how often it would be wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from webapp.checks import fingerprint_card, origin_card, pair_card, private_card, signature_card
from webapp.checks.card_figures import Content, work_facts
from webapp.checks.models import Evidence, EvidenceKind, Outcome
from webapp.checks.selectors import SeenCheck, Viewer, evidence_of, work_picture_visible
from webapp.checks.storage import has_heat, has_renditions
from webapp.registry.models import Work

_ORDER = (
    EvidenceKind.EXACT,
    EvidenceKind.REVIEW,
    EvidenceKind.SIGNATURE,
    EvidenceKind.PAIR,
    EvidenceKind.PRIVATE,
    EvidenceKind.CANDIDATES,
    EvidenceKind.ORIGIN,
    EvidenceKind.PICTURE,
)
_LIMITS = {
    EvidenceKind.ORIGIN: gettext_lazy(
        "This changes no verdict and is never alone a reason to accuse anybody: ask for sketches, layers, raw files."
    ),
    EvidenceKind.SIGNATURE: gettext_lazy("A signature is a pointer, not a proof."),
    EvidenceKind.PRIVATE: gettext_lazy(
        "Nobody could compare the two pictures: the other side is encrypted. A report of a match is no proof of one."
    ),
}
_BADGES = {Outcome.FOR: "good", Outcome.LEANS: "warn", Outcome.AGAINST: "", Outcome.NEUTRAL: ""}


@dataclass(frozen=True)
class Card:
    """One piece of evidence as the page shows it.

    Attributes:
        outcome: of the evidence, a class of the card; ``badge`` is the class of its words.
        facts: label and value, in order.
        meaning: what this kind of evidence can and cannot say; empty on all but the first of a kind in a list.
        limits: what must not be concluded from it; not folded away.
        work: the registered work that it is about, while it is registered.
        picture: whether this person may see that work's picture; ``compare``: whether the two can be laid over
            each other, on the page of the pair with this ``ordinal``.
        heat: whether there is a picture of what in the checked one speaks for AI, and this person may see it.
    """

    kind: EvidenceKind
    title: str
    outcome: str
    badge: str
    words: str
    summary: str
    facts: list[tuple[str, str]]
    version: str
    meaning: str
    ordinal: int
    limits: str = ""
    work: Work | None = None
    picture: bool = False
    compare: bool = False
    heat: bool = False


@dataclass(frozen=True)
class Cards:
    """The cards of a check: those that matter, and the look-alikes that verification set aside."""

    main: list[Card] = field(default_factory=list)
    aside: list[Card] = field(default_factory=list)


def cards_of(seen: SeenCheck, user: Viewer) -> Cards:
    """Return the cards of a check as this person sees them."""
    cards = Cards()
    for evidence in evidence_of(seen.check):
        card = _card(evidence, seen, user)
        set_aside = evidence.kind == EvidenceKind.PAIR and evidence.outcome == Outcome.AGAINST
        (cards.aside if set_aside else cards.main).append(card)
    # What speaks for registration comes first, and what the picture is last.
    order = {Outcome.FOR: 0, Outcome.LEANS: 1}
    cards.main.sort(key=lambda card: (order.get(Outcome(card.outcome), 2), _ORDER.index(card.kind)))
    return Cards(_explained_once(cards.main), _explained_once(cards.aside))


def _explained_once(cards: list[Card]) -> list[Card]:
    return [
        replace(card, meaning="") if any(card.kind == before.kind for before in cards[:place]) else card
        for place, card in enumerate(cards)
    ]


def _card(evidence: Evidence, seen: SeenCheck, user: Viewer) -> Card:
    title, facts, meaning = _CONTENT[EvidenceKind(evidence.kind)](evidence.data)
    work = evidence.work if evidence.work is not None and evidence.work.deleted_at is None else None
    picture = work_picture_visible(work=work, user=user)
    if work is not None and picture:
        said = ((_("Made by, as registered"), work.creator), (_("Licence, as registered"), work.licence))
        facts[2:2] = [(label, value) for label, value in said if value]
    return Card(
        kind=EvidenceKind(evidence.kind),
        title=title,
        outcome=evidence.outcome,
        badge=_BADGES[Outcome(evidence.outcome)],
        words=_words(evidence),
        summary=evidence.summary,
        facts=facts,
        version=evidence.version,
        meaning=meaning,
        ordinal=evidence.ordinal,
        limits=str(_LIMITS.get(EvidenceKind(evidence.kind), "")),
        work=work,
        picture=picture,
        compare=(
            evidence.kind == EvidenceKind.PAIR
            and picture
            and seen.picture
            and has_renditions(seen.check.pk, evidence.ordinal)
        ),
        heat=evidence.kind == EvidenceKind.ORIGIN and seen.picture and seen.has_file and has_heat(seen.check.pk),
    )


def _words(evidence: Evidence) -> str:
    if evidence.kind == EvidenceKind.ORIGIN:
        return origin_card.words_of(evidence.data)
    if evidence.kind == EvidenceKind.SIGNATURE:
        return signature_card.words_of(evidence.data)
    if evidence.kind == EvidenceKind.PRIVATE and evidence.outcome == Outcome.LEANS:
        return _("Reports a match, unverified")
    return str(Outcome(evidence.outcome).label)


def _signature(data: dict[str, Any]) -> Content:
    facts = [*(work_facts(data) if "work" in data else []), *signature_card.facts_of(data)]
    return _("Signature"), facts, signature_card.meaning()


def _review(data: dict[str, Any]) -> Content:
    return (
        _("Reviewers"),
        work_facts(data) if "work" in data else [],
        _("People have looked at this very pair before. What they decided stands above the figures."),
    )


_CONTENT = {
    EvidenceKind.PICTURE: fingerprint_card.picture,
    EvidenceKind.EXACT: fingerprint_card.exact,
    EvidenceKind.CANDIDATES: fingerprint_card.candidates,
    EvidenceKind.PAIR: pair_card.content,
    EvidenceKind.SIGNATURE: _signature,
    EvidenceKind.PRIVATE: private_card.content,
    EvidenceKind.ORIGIN: origin_card.content,
    EvidenceKind.REVIEW: _review,
}
