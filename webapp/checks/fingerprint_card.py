"""What the cards say of the picture itself: its file, its fingerprints, and what has fingerprints like it."""

from __future__ import annotations

from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from webapp.checks.card_figures import Content, alike, how_often, in_bits, nearness, work_facts


def picture(data: dict[str, Any]) -> Content:
    """Return what is said of the file and its fingerprints."""
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


def exact(data: dict[str, Any]) -> Content:
    """Return what is said of equal files."""
    facts = [(_("SHA-256 of the file"), data["sha256"]), (_("SHA-256 of the pixels"), data["pixel_sha256"])]
    if "work" in data:
        facts = [*work_facts(data), *facts]
    return (
        _("Exact file"),
        facts,
        _(
            "SHA-256 is the same only for the same bytes: nobody has ever found two different files that share one. "
            "A copy saved again has other bytes, so that finding none says little."
        ),
    )


def candidates(data: dict[str, Any]) -> Content:
    """Return what is said of the look-alikes of one algorithm."""
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
                % {"n": data["found"], "like": alike(data["candidate_radius"])}
            )
            + ("" if data["found_is_all"] else _(", and perhaps others")),
        )
    ]
    if data["listed"]:
        facts.append((_("Nearest"), nearness(data["listed"][0], bits)))
    near = in_bits(data["near_radius"]) if bits else alike(data["near_radius"])
    within = in_bits(figures["distance"]) if bits else alike(figures["distance"])
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
