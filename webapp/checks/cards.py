"""Evidence as cards for a page: each with its figure, its threshold, and how often it would be wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from provenance.detection.detector import Band
from provenance.detection.sources import SOURCES
from provenance.matching.changes import Change
from provenance.matching.verify import PairKind
from webapp.checks import signature_card
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
_BANDS = {
    Band.LIKELY_AI: gettext_lazy("Probably made by AI"),
    Band.LIKELY_NOT_AI: gettext_lazy("Unlike the AI pictures it knows"),
    Band.CANNOT_TELL: gettext_lazy("Cannot tell"),
}
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
        return str(_BANDS[Band(evidence.data["band"])])
    if evidence.kind == EvidenceKind.SIGNATURE:
        return signature_card.words_of(evidence.data)
    if evidence.kind == EvidenceKind.PRIVATE and evidence.outcome == Outcome.LEANS:
        return _("Reports a match, unverified")
    return str(Outcome(evidence.outcome).label)


Content = tuple[str, list[tuple[str, str]], str]


def _picture(data: dict[str, Any]) -> Content:
    facts = [
        (_("Format"), data["format"]),
        (_("Size"), f"{data['width']} × {data['height']}, {filesizeformat(data['byte_size'])}"),
    ]
    if data["frames"] > 1:
        facts.append((_("Frames"), _("%(n)d, of which the first was checked") % {"n": data["frames"]}))
    for algorithm, figures in data["fingerprints"].items():
        quality = _("detail %(percent)d%%") % {"percent": round(100 * figures["quality"])}
        usable = _("usable") if figures["usable"] else _("too simple")
        facts.append((algorithm, f"{quality}, {usable}"))
    return (
        _("Your picture"),
        facts,
        _(
            "A fingerprint is a short code of how a picture looks. Of a picture with hardly any detail it says "
            "nothing, since countless others have the same."
        ),
    )


def _exact(data: dict[str, Any]) -> Content:
    facts = [(_("SHA-256 of the file"), data["sha256"]), (_("SHA-256 of the pixels"), data["pixel_sha256"])]
    if "work" in data:
        facts = [*_work_facts(data), *facts]
    return (
        _("Exact file"),
        facts,
        _(
            "SHA-256 is the same only for the same bytes: nobody has ever found two different files that share one. "
            "A copy saved again has other bytes, so that finding none says little."
        ),
    )


def _candidates(data: dict[str, Any]) -> Content:
    expected = data["expected_false"]
    figures = expected.get("at_best_distance", expected["at_candidate_radius"])
    # Of hashes the distance counts bits; of descriptors it is 1 - cosine in thousandths.
    bits = "bits" in data
    found = {"n": data["found"], "radius": data["candidate_radius"], "bits": data.get("bits", 0)}
    facts = [
        (
            _("Found"),
            (
                ngettext(
                    "%(n)d work within %(radius)d of %(bits)d bits",
                    "%(n)d works within %(radius)d of %(bits)d bits",
                    data["found"],
                )
                % found
                if bits
                else ngettext("%(n)d work %(like)s or more", "%(n)d works %(like)s or more", data["found"])
                % {"n": data["found"], "like": _like(data["candidate_radius"])}
            )
            + ("" if data["found_is_all"] else _(", and perhaps others")),
        )
    ]
    if data["listed"]:
        facts.append((_("Nearest"), _nearness(data["listed"][0], bits)))
    near = _bits(data["near_radius"]) if bits else _like(data["near_radius"])
    within = _bits(figures["distance"]) if bits else _like(figures["distance"])
    facts += [
        (_("Counts as near"), f"{near} ({data['near_radius_source']})"),
        (
            _("To expect by chance"),
            _("Within %(distance)s, among %(size)s works: %(measured)s; %(bound)s at most (95%% bound)")
            % {
                "distance": within,
                "size": f"{data['registry_size']:,}",
                "measured": how_often(figures["measured"]),
                "bound": how_often(figures["upper_bound"]),
            },
        ),
        (_("Measured on"), _("%(n)s pairs of different pictures") % {"n": f"{figures['measured_pairs']:,}"}),
    ]
    if bits:
        often = how_often(figures["binomial"])
        facts.append((_("In theory"), _("%(often)s, if bits were fair coins; they are not") % {"often": often}))
    return (
        _("Look-alikes (%(algorithm)s)") % {"algorithm": data["algorithm"]},
        facts,
        _(
            "Fingerprints that differ in few bits belong to pictures that look alike, which may be copies or not. "
            "The larger a registry, the more look-alikes there are by chance. So none of them counts before the two "
            "pictures have been laid over each other."
        ),
    )


def _nearness(near: dict[str, Any], bits: bool) -> str:
    if bits:
        return _("%(bits)s away (your picture read %(variant)s)") % {
            "bits": _bits(near["distance"]),
            "variant": near["variant"],
        }
    return f"{_like(near['distance'])} ({_QUERY_VIEWS.get(near['variant'], near['variant'])})"


_QUERY_VIEWS = {
    "whole": gettext_lazy("your whole picture"),
    "middle": gettext_lazy("the middle of your picture"),
    "without its border": gettext_lazy("your picture without its border"),
    "smoothed": gettext_lazy("your picture, smoothed"),
}


def _bits(count: int) -> str:
    return ngettext("%(n)d bit", "%(n)d bits", count) % {"n": count}


def _like(distance: int) -> str:
    """Say a distance of descriptors, 1 - cosine in thousandths, as a likeness."""
    return _("alike by %(value).2f of 1") % {"value": 1 - distance / 1000}


_CHANGES = {
    Change.MIRRORED: gettext_lazy("mirrored"),
    Change.ROTATED: gettext_lazy("rotated"),
    Change.CROPPED: gettext_lazy("cropped"),
    Change.FRAMED: gettext_lazy("bars or a border added"),
    Change.PASTED: gettext_lazy("pasted into another picture"),
    Change.GREYSCALE: gettext_lazy("made grey"),
    Change.RECOLOURED: gettext_lazy("colours or brightness changed"),
    Change.BLURRED: gettext_lazy("blurred or enlarged"),
    Change.NOISY: gettext_lazy("noise added"),
    Change.DRAWN_OVER: gettext_lazy("text or something else put over it"),
    Change.REDUCED: gettext_lazy("made smaller"),
}


def _pair(data: dict[str, Any]) -> Content:
    facts = _work_facts(data)
    if "probability" in data:
        least = data["thresholds"]["verified"]
        held_back = data["probability"] >= least and data["verdict"] != PairKind.VERIFIED
        sentence = (
            _("%(percent)s by its figures, but held back: only a part of what overlaps agrees, or colours do not")
            if held_back
            else _("%(percent)s; from %(least)s on it counts as a match")
        )
        percents = {"percent": _percent(data["probability"]), "least": _percent(least)}
        facts.append((_("Probability of a copy"), sentence % percents))
    if "inliers" in data:
        facts += [
            (
                _("How it was laid over"),
                _("by %(n)d of %(all)d key points") % {"n": data["inliers"], "all": data["key_point_matches"]}
                if data["inliers"]
                else _("by grey values: no key points agree"),
            ),
            (_("Likeness where they overlap"), _likeness(data)),
            (
                _("Overlap"),
                _("%(query)d%% of your picture, %(reference)d%% of the registered one")
                % {
                    "query": round(100 * data["overlap_query"]),
                    "reference": round(100 * data["overlap_reference"]),
                },
            ),
        ]
    if "changes" in data:
        # A receipt of an earlier version may have none; a later one may have more.
        named = [str(_CHANGES.get(change, change)) for change in data["changes"]]
        facts.append((_("What was done to it"), ", ".join(named) or _("nothing that shows")))
    if "false_verification" in data:
        wrong = data["false_verification"]
        facts.append(
            (
                _("How often this is wrong"),
                _("%(n)d of %(pairs)s pairs of different pictures that look alike; at most %(bound).2g%% (95%% bound)")
                % {"n": wrong["false"], "pairs": f"{wrong['hard_pairs']:,}", "bound": 100 * wrong["upper_bound"]},
            )
        )
    for algorithm, near in data["distances"].items():
        facts.append((algorithm, _nearness(near, bits=near["variant"] not in _QUERY_VIEWS)))
    return (
        _("Side by side"),
        facts,
        _(
            "The one picture is laid over the other, by key points or by grey values, and the two are compared where "
            "they overlap: shapes, details, colours, and what a network sees in both. One probability is made of it: "
            "how often such a pair is a copy if copies and look-alikes are equally frequent. Heavy edits may keep "
            "a true copy from agreeing."
        ),
    )


def _likeness(data: dict[str, Any]) -> str:
    # A receipt of an earlier version has only one figure.
    if "shapes" not in data:
        return _("%(value).2f of 1") % {"value": data["similarity"]}
    return (
        _("shapes %(shapes).2f, details %(details).2f, colours %(colour).2f, descriptor %(descriptor).2f, of 1") % data
    )


def _percent(probability: float) -> str:
    """Say a probability without ever rounding it to certainty."""
    shown = min(max(100 * probability, 0.01), 99.9999)
    return f"{shown:.4f} %" if shown > 99 else f"{shown:.2f} %" if shown < 1 else f"{shown:.0f} %"


def _interval(found: dict[str, float]) -> str:
    return f"{100 * found['share']:.1f} % ({100 * found['low']:.1f}–{100 * found['high']:.1f})"


def _origin(data: dict[str, Any]) -> Content:
    facts = []
    if data["probability"] is not None:
        errors = data["asked_error"]
        facts = [
            (
                _("Probability"),
                _(
                    "%(percent)s, if as many pictures were made by AI as were not; how right that is of generators "
                    "that it was not trained on cannot be measured"
                )
                % {"percent": _percent(data["probability"])},
            ),
            (
                _("When there is an answer"),
                _("from %(high)s on, “probably”; up to %(low)s, “unlike”; in between, none")
                % {
                    "high": _percent(data["thresholds"]["likely_ai"]),
                    "low": _percent(data["thresholds"]["likely_not_ai"]),
                },
            ),
            (
                _("How often “probably” may be wrong"),
                _(
                    "asked: of at most %(photographs)s of photographs and %(drawings)s of drawings like those that it "
                    "was calibrated on"
                )
                % {name: _percent(share) for name, share in errors.items()},
            ),
            (
                _("Trained on pictures by"),
                _("%(generators)s; tested by leaving each out")
                % {"generators": ", ".join(SOURCES.get(name, name) for name in data["generators"])},
            ),
            *(
                (
                    _("%(generator)s, left out") % {"generator": SOURCES.get(name, name)},
                    _("of %(n)d pictures %(likely_ai)s “probably”, %(likely_not_ai)s wrongly “unlike”")
                    % {
                        "n": found["pictures"],
                        "likely_ai": _interval(found[Band.LIKELY_AI]),
                        "likely_not_ai": _interval(found[Band.LIKELY_NOT_AI]),
                    },
                )
                for name, found in data.get("measured", {}).items()
            ),
            (
                _("What it looks at"),
                ngettext(
                    "%(n)d square of the picture made small, through the features of %(features)s",
                    "%(n)d squares of the picture made small, through the features of %(features)s",
                    len(data["crops"]),
                )
                % {"n": len(data["crops"]), "features": data["features"]},
            ),
        ]
    return (
        _("Made by AI?"),
        facts,
        _(
            "This looks at how a picture is drawn and what it shows, and compares that with pictures of two "
            "generators, with photographs and with people's drawings. What other generators make it often does not "
            "know. A picture that was photographed again, edited or made smaller is often undecidable, and what a "
            "person painted may look like AI's."
        ),
    )


def _signature(data: dict[str, Any]) -> Content:
    facts = [*(_work_facts(data) if "work" in data else []), *signature_card.facts_of(data)]
    return _("Signature"), facts, signature_card.meaning()


def _private(data: dict[str, Any]) -> Content:
    facts = [(_("Catalogue"), f"“{data['name']}”"), (_("Held by"), data["holder"])]
    if data["state"] != "answered":
        facts.append((_("Not answered"), data["reason"]))
    else:
        chance = data["expected_false"]
        place = _("block %(block)d, place %(slot)d")
        places = [place % {"block": block, "slot": slot} for block, slot in data["places"]]
        facts += [
            (_("Answer"), _("something in it matches") if data["matches"] else _("nothing in it matches")),
            *([(_("Which entry"), "; ".join(places))] if places else []),
            (
                _("Counts as a match"),
                _("at most %(tau)d of %(bits)d bits differ, and nothing else is looked at") % data,
            ),
            (
                _("To expect by chance"),
                _("%(measured)s, among %(entries)d entries; %(bound)s at most (95%% bound, %(pairs)s pairs)")
                % {
                    "measured": how_often(chance["measured"]),
                    "bound": how_often(chance["upper_bound"]),
                    "entries": data["entries"],
                    "pairs": f"{data['measured_pairs']:,}",
                },
            ),
            (
                _("What it took"),
                _("%(seconds).1f seconds, %(sent)s sent, %(answer)s back, %(entries)d entries compared")
                % {
                    "seconds": data["seconds"],
                    "sent": filesizeformat(data["sent_bytes"]),
                    "answer": filesizeformat(data["answer_bytes"]),
                    "entries": data["entries"],
                },
            ),
            (
                _("Learnt by whoever has this check's link, and by this site, which asked"),
                _("which entries match") if places else _("whether anything matches, and nothing of any entry"),
            ),
            (_("Learnt by its holder"), _("that somebody asked; an alarm after several matches of one asker")),
            (
                _("Learnt by the keyholders %(names)s") % {"names": ", ".join(data["keyholders"])},
                _("that this site asked; neither the picture, nor its hash, nor the answer"),
            ),
        ]
    return (
        _("Private catalogue"),
        facts,
        _(
            "This catalogue's hashes are encrypted, and so was yours. The site compared them without reading either; "
            "the keyholders checked that and opened one answer, together. Mirrored, turned and cropped copies are "
            "mostly missed, and chance can report a match that is none."
        ),
    )


def _review(data: dict[str, Any]) -> Content:
    return (
        _("Reviewers"),
        _work_facts(data) if "work" in data else [],
        _("People have looked at this very pair before. What they decided stands above the figures."),
    )


def _work_facts(data: dict[str, Any]) -> list[tuple[str, str]]:
    work = data["work"]
    return [(_("Registered as"), f"“{work['title']}”"), (_("Registered by"), work["owner"])]


def how_often(expected: float) -> str:
    """Return how many works that are no copies a check meets on average, in words that a reader takes in."""
    if expected == 0:
        return _("none was seen")
    if expected >= 0.1:
        return _("%(n)s a check") % {"n": f"{expected:.2g}" if expected < 100 else f"{expected:,.0f}"}
    checks = 1 / expected
    if checks > 1e12:
        return _("fewer than one in a million million checks")
    return _("one in %(n)s checks") % {"n": f"{float(f'{checks:.2g}'):,.0f}"}


_CONTENT = {
    EvidenceKind.PICTURE: _picture,
    EvidenceKind.EXACT: _exact,
    EvidenceKind.CANDIDATES: _candidates,
    EvidenceKind.PAIR: _pair,
    EvidenceKind.SIGNATURE: _signature,
    EvidenceKind.PRIVATE: _private,
    EvidenceKind.ORIGIN: _origin,
    EvidenceKind.REVIEW: _review,
}
