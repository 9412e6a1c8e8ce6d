"""What the card of a signature says: whose it is, how the picture was changed since, and how far it can be trusted."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from webapp.checks.signature import Standing


def words_of(data: dict[str, Any]) -> str:
    """Return the few words of the card's badge."""
    return {
        Standing.OWN: _("Points to a record"),
        Standing.UNSETTLED: _("Points to a record"),
        Standing.COPIED: _("Copied from another picture"),
        Standing.GENERATOR: _("A generator's"),
        Standing.REVOKED: _("Revoked"),
        Standing.DELETED: _("Of a deleted record"),
        Standing.TRACES: _("Traces, not readable"),
        Standing.NONE: _("None found"),
    }.get(Standing(data["standing"]), _("Not looked for"))


def facts_of(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return label and value of each fact, beside those of the work."""
    facts = []
    if "generator" in data:
        facts.append((_("Generator"), f"“{data['generator']}”"))
    if "number" in data:
        facts += [
            (_("Given to"), data["organisation"]),
            (_("Number"), str(data["number"])),
            (_("Since it was signed"), _changes(data["placement"])),
        ]
    if "presence" in data:
        facts.append((_("Chance that it was signed at all"), f"{100 * data['presence']:.0f} %"))
    if "bearing" in data:
        facts.append((_("Distance to the record's picture"), _distance(data["bearing"])))
    if "false_acceptance" in data:
        facts.append(
            (
                _("Chance of a false reading"),
                _("at most one in %(n)s checks, by the 40 bits of its tag")
                % {"n": f"{round(1 / data['false_acceptance']):,}"},
            )
        )
    return facts


def meaning() -> str:
    """Return what signatures can and cannot say."""
    return _(
        "A registered picture may carry a signature that cannot be seen: a number and a tag that only this registry "
        "can make. It is made to outlast JPEG compression, resizing, mirroring, turning, cropping, blur and noise, up "
        "to a point, and making the picture anew with AI may destroy it: finding none says nothing. Since it can be "
        "lifted off one picture and put on another, the picture is compared with the record it points to."
    )


def _changes(placement: dict[str, Any]) -> str:
    turned, magnified = placement["turned_degrees"], placement["magnified"]
    said = [_("mirrored")] if placement["mirrored"] else []
    # Evidence of earlier versions does not say.
    if placement.get("in_part"):
        said.append(_("shown with other things around it"))
    if abs(turned) >= 0.5:
        said.append(_("turned by %(degrees).0f°") % {"degrees": turned})
    # Beside the picture's area, whatever its number of pixels.
    if magnified >= 1.02:
        said.append(_("shown %(times).2f times as large, as after a crop") % {"times": magnified})
    elif magnified <= 0.98:
        said.append(_("shown at %(times).2f of its size, as within a border") % {"times": magnified})
    return ", ".join(said) or _("neither mirrored, turned nor cropped, as far as can be seen")


def _distance(figures: dict[str, Any]) -> str:
    return _(
        "%(distance)d of %(bits)d bits by %(hash_algorithm)s: up to %(near_radius)d is near, past %(candidate_radius)d "
        "these bits alone would say another picture; of different pictures, %(chance)s come within that. What decides, "
        "where it can be told, is how the two pictures lie over each other"
    ) % {**figures, "chance": f"{100 * figures['different_within_candidate_radius']:.2g} %"}
