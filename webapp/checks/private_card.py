"""What the card says of an encrypted catalogue that was asked: the answer, its chance, and who learns what."""

from __future__ import annotations

from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from webapp.checks.card_figures import Content, how_often


def content(data: dict[str, Any]) -> Content:
    """Return what is said of one catalogue."""
    facts = [(_("Catalogue"), f"“{data['name']}”"), (_("Held by"), data["holder"])]
    if data["state"] != "answered":
        facts.append((_("Not answered"), data["reason"]))
    else:
        chance = data["expected_false"]
        # Evidence of earlier versions has places alone.
        places = [str(number) for number in data.get("numbers", ())] or [
            _("block %(block)d, place %(slot)d") % {"block": block, "slot": slot} for block, slot in data["places"]
        ]
        facts += [
            (_("Answer"), _("something in it matches") if data["matches"] else _("nothing in it matches")),
            *([(_("Number of the entry in its holder's list"), ", ".join(places))] if places else []),
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
