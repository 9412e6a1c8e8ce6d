"""What the verbs of audit entries say to a person."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

DEEDS: dict[str, Promise] = {
    "organisation.created": _("made the organisation"),
    "organisation.edited": _("changed the organisation's name or website"),
    "invitation.sent": _("invited somebody"),
    "invitation.accepted": _("accepted an invitation"),
    "invitation.withdrawn": _("withdrew or declined an invitation"),
    "member.role_changed": _("gave a member another role"),
    "member.removed": _("removed a member, or left"),
    "api_key.created": _("made an API key"),
    "api_key.revoked": _("revoked an API key"),
    "catalogue.created": _("made a catalogue"),
    "catalogue.edited": _("changed a catalogue"),
    "catalogue.deleted": _("deleted a catalogue"),
    "catalogue.restored": _("brought a catalogue back"),
    "import.started": _("started an import"),
    "import.run": _("ran an import after its dry run"),
    "import.resumed": _("resumed an import"),
    "import.checked": _("finished a dry run"),
    "import.finished": _("finished an import"),
    "import.discarded": _("deleted the files sent for an import"),
    "catalogue.hash_chosen": _("chose a catalogue's deep hash"),
    "catalogue.hash_training_begun": _("began to train a deep hash on a catalogue"),
    "sample.loaded": _("loaded the sample catalogue"),
    "item.edited": _("changed what is said of a picture"),
    "items.moved": _("moved pictures to another catalogue"),
    "work.registered": _("registered a picture"),
    "works.deleted": _("deleted pictures"),
    "works.restored": _("brought pictures back"),
    "artwork.requested": _("had a picture generated"),
    "artwork.edited": _("changed an artwork"),
    "artwork.prompt_forgotten": _("deleted the kept prompt of an artwork"),
    "artwork.removed": _("removed an artwork that has no picture"),
    "artwork.proof_begun": _("had an artwork made again, as a proof"),
    "artwork.trial_begun": _("tried what one altered pixel changes"),
    "check.submitted": _("sent a picture for a check"),
    "check.upload_deleted": _("deleted a check's upload"),
    "match.decided": _("decided on a match"),
    "match.decision_undone": _("took a decision on a match back"),
}
