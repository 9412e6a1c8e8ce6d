"""Figures in words, as the cards of several kinds of evidence say them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

Content = tuple[str, list[tuple[str, str]], str]
"""Title, facts as label and value, and what this kind of evidence can and cannot say."""

QUERY_VIEWS = {
    "whole": gettext_lazy("your whole picture"),
    "middle": gettext_lazy("the middle of your picture"),
    "without its border": gettext_lazy("your picture without its border"),
    "smoothed": gettext_lazy("your picture, smoothed"),
}


def work_facts(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the facts of a registered work, as its record was when the evidence was found."""
    work = data["work"]
    return [(_("Registered as"), f"“{work['title']}”"), (_("Registered by"), work["owner"])]


def nearness(near: dict[str, Any], bits: bool) -> str:
    """Say how far away a candidate is: of hashes in bits, of descriptors as a likeness; and how it was read."""
    if bits:
        return _("%(bits)s away (your picture read %(variant)s)") % {
            "bits": in_bits(near["distance"]),
            "variant": near["variant"],
        }
    return f"{alike(near['distance'])} ({QUERY_VIEWS.get(near['variant'], near['variant'])})"


def in_bits(count: int) -> str:
    """Say a distance of hashes."""
    return ngettext("%(n)d bit", "%(n)d bits", count) % {"n": count}


def alike(distance: int) -> str:
    """Say a distance of descriptors, 1 - cosine in thousandths, as a likeness."""
    return _("alike by %(value).2f of 1") % {"value": 1 - distance / 1000}


def percent(probability: float) -> str:
    """Say a probability without ever rounding it to certainty."""
    shown = min(max(100 * probability, 0.01), 99.9999)
    digits = 4 if shown > 99 else 2 if shown < 1 else 0
    return f"{round(shown, digits):g} %"


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
