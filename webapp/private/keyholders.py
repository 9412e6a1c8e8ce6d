"""A catalogue's keyholders as the site reaches them."""

from __future__ import annotations

from provenance.private_lookup.client import AnsweringKeyholder
from provenance.private_lookup.service import RemoteKeyholder
from webapp.private.models import PrivateCatalogue
from webapp.private.storage import meeting_of

# More than the longest step of the largest catalogue that is served here takes.
_SECONDS = 300.0


def keyholders_of(private: PrivateCatalogue) -> list[AnsweringKeyholder]:
    """Return all keyholders, in the agreement's order. What they do not do they raise when they are asked."""
    meeting = meeting_of(private)
    return [RemoteKeyholder(meeting.socket(party.name), _SECONDS) for party in private.agreement.parties]
