"""What the card says of the picture laid over a registered one."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.matching.changes import Change
from provenance.matching.verify import PairKind
from webapp.checks.card_figures import QUERY_VIEWS, Content, nearness, percent, work_facts

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


def content(data: dict[str, Any]) -> Content:
    """Return what is said of one pair."""
    facts = work_facts(data)
    if "probability" in data:
        least = data["thresholds"]["verified"]
        held_back = data["probability"] >= least and data["verdict"] != PairKind.VERIFIED
        sentence = (
            _("%(percent)s by its figures, but held back: only a part of what overlaps agrees, or colours do not")
            if held_back
            else _("%(percent)s; from %(least)s on it counts as a match")
        )
        percents = {"percent": percent(data["probability"]), "least": percent(least)}
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
        facts.append((algorithm, nearness(near, bits=near["variant"] not in QUERY_VIEWS)))
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
