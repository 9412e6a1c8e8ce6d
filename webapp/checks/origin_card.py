"""What the card says of whether AI made the picture: words first, and each figure named as what it is."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from provenance.detection.detector import Band
from provenance.detection.sources import SOURCES
from webapp.checks.card_figures import Content, percent

_BANDS = {
    Band.LIKELY_AI: gettext_lazy("Probably made by AI"),
    Band.LIKELY_NOT_AI: gettext_lazy("Unlike the AI pictures it knows"),
    Band.CANNOT_TELL: gettext_lazy("Cannot tell"),
}


def words_of(data: dict[str, Any]) -> str:
    """Return the few words of the card's badge."""
    return str(_BANDS[Band(data["band"])])


def content(data: dict[str, Any]) -> Content:
    """Return what is said of who made it."""
    facts = []
    # Earlier versions gave one beside "cannot tell", too.
    if data["probability"] is not None and data["band"] != Band.CANNOT_TELL:
        facts.append(
            (
                _("Probability of AI, as calibrated"),
                _(
                    "%(percent)s, if as many pictures were made by AI as were not; how right that is of generators "
                    "that it was not trained on cannot be measured"
                )
                % {"percent": percent(data["probability"])},
            )
        )
    # Evidence of earlier versions has none.
    if "margin_thresholds" in data:
        facts.append(
            (
                _("Margin, which is no chance"),
                _(
                    "%(margin).2f, where 1 and -1 are what the machine was fitted to give for AI's and for people's "
                    "pictures; from %(likely_ai).2f on, “probably”; up to %(likely_not_ai).2f, “unlike”; in between "
                    "there is no answer"
                )
                % {"margin": data["margin"], **data["margin_thresholds"]},
            )
        )
    if "margin" in data:
        errors = data["asked_error"]
        facts += [
            (
                _("How often “probably” may be wrong"),
                _(
                    "asked: of at most %(photographs)s of photographs and %(drawings)s of drawings like those that it "
                    "was calibrated on"
                )
                % {name: percent(share) for name, share in errors.items()},
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


def _interval(found: dict[str, float]) -> str:
    return f"{100 * found['share']:.1f} % ({100 * found['low']:.1f}–{100 * found['high']:.1f})"
