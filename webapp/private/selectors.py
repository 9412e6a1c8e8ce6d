"""Reading private catalogues, and who may."""

from __future__ import annotations

import statistics
import uuid
from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import Http404

from provenance.private_lookup.registry import read_manifest
from webapp.catalogues.models import Catalogue
from webapp.catalogues.selectors import Viewer, catalogue_get
from webapp.private.models import PrivateCatalogue, PrivateQuestion, PrivateState, QuestionState
from webapp.private.risk import Risk, risk

_LATELY = 20


@dataclass(frozen=True)
class Cost:
    """What a question took lately, the middle of the last ones.

    Attributes:
        seconds, bytes: of one; None before anybody asked.
    """

    seconds: float | None
    bytes: int | None


def private_get(*, user: Viewer, catalogue_id: uuid.UUID | str) -> tuple[Catalogue, PrivateCatalogue | None, bool]:
    """Return a catalogue of an organisation of theirs, its private side if it has one, and whether they may change it.

    Raises:
        Http404: there is none that they may see.
    """
    catalogue, may_write = catalogue_get(user=user, catalogue_id=catalogue_id)
    found = PrivateCatalogue.objects.select_related("catalogue__organisation", "job").filter(catalogue=catalogue)
    return catalogue, found.first(), may_write


def private_of(*, user: Viewer, catalogue_id: uuid.UUID | str) -> tuple[PrivateCatalogue, bool]:
    """Return a catalogue's private side, and whether they may change it.

    Raises:
        Http404: it has none, or they may not see it.
    """
    _catalogue, private, may_write = private_get(user=user, catalogue_id=catalogue_id)
    if private is None:
        raise Http404
    return private, may_write


def askable() -> QuerySet[PrivateCatalogue]:
    """Return the private catalogues that answer now: anybody who is known here may ask them, within their limits."""
    return (
        PrivateCatalogue.objects.filter(state=PrivateState.READY, entries__gt=0, catalogue__deleted_at=None)
        .exclude(manifest=None)
        .select_related("catalogue__organisation")
        .order_by("created_at")
    )


def cost_of(private: PrivateCatalogue) -> Cost:
    """Return what asking took lately."""
    rows = private.questions.filter(state=QuestionState.ANSWERED, seconds__gt=0)[:_LATELY]
    found = list(rows.values_list("seconds", "sent_bytes", "answer_bytes"))
    if not found:
        return Cost(None, None)
    return Cost(
        statistics.median(row[0] for row in found),
        int(statistics.median(row[1] + row[2] for row in found)),
    )


def risk_of(private: PrivateCatalogue) -> Risk:
    """Return how often an answer of this catalogue is wrong by chance, at its size."""
    return risk(private.algorithm, private.tau, private.entries)


def state_of(private: PrivateCatalogue) -> int:
    """Return the number of the content that is asked about; 0 before there is any."""
    if private.manifest is None:
        return 0
    return read_manifest(bytes(private.manifest), private.agreement).sequence


def questions_of(private: PrivateCatalogue) -> QuerySet[PrivateQuestion]:
    """Return what was asked, newest first."""
    return private.questions.order_by("-created_at")
