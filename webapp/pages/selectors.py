"""What the dashboard shows a person: organisations with their catalogues, work under way, checks, activity."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db.models import BigIntegerField, Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext as _

from webapp.accounts.models import AuditEntry, Membership, Role, User
from webapp.artworks.models import Artwork, Proof, Trial
from webapp.catalogues.models import Catalogue, CatalogueImport
from webapp.catalogues.selectors import catalogues_of
from webapp.checks.models import Check
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.selectors import job_snapshot
from webapp.registry.models import Work

RUNNING_SHOWN = 10
CATALOGUES_SHOWN = 5
_WRITERS = (Role.OWNER.value, Role.EDITOR.value)


@dataclass(frozen=True)
class Place:
    """A person's organisation as their dashboard shows it.

    Attributes:
        works: registered pictures. ``stored_bytes`` counts those too whose deletion can be undone.
        catalogues: the largest ``CATALOGUES_SHOWN``, each with ``works``; ``more_catalogues`` counts the others.
    """

    membership: Membership
    works: int
    stored_bytes: int
    catalogues: list[Catalogue] = field(default_factory=list)
    more_catalogues: int = 0

    @property
    def may_write(self) -> bool:
        """Whether the person may change what the organisation has registered."""
        return self.membership.role in _WRITERS

    @property
    def percent_stored(self) -> int:
        """How much of the quota is used, 0..100."""
        quota = self.membership.organisation.storage_quota_bytes
        return min(100, round(100 * self.stored_bytes / quota)) if quota else 100


@dataclass(frozen=True)
class Running:
    """Work under way: its job with a snapshot, what it is about, where its page is, whether it may be cancelled."""

    job: Job
    snapshot: dict[str, Any]
    title: str
    url: str
    may_cancel: bool


def places_of(person: User) -> list[Place]:
    """Return the person's organisations by name. Two queries, however many there are."""
    memberships = (
        Membership.objects.filter(user=person)
        .select_related("organisation")
        .order_by("organisation__name")
        .annotate(
            work_count=_of_organisation(Work.objects.live(), Count("pk")),
            stored_bytes=_of_organisation(Work.objects.all(), Sum("byte_size")),
        )
    )
    catalogues: defaultdict[Any, list[Catalogue]] = defaultdict(list)
    for catalogue in catalogues_of(person).order_by(F("works").desc(), "name"):
        catalogues[catalogue.organisation_id].append(catalogue)
    return [
        Place(
            membership=membership,
            works=membership.work_count,
            stored_bytes=membership.stored_bytes,
            catalogues=catalogues[membership.organisation_id][:CATALOGUES_SHOWN],
            more_catalogues=max(0, len(catalogues[membership.organisation_id]) - CATALOGUES_SHOWN),
        )
        for membership in memberships
    ]


def running_for(person: User) -> list[Running]:
    """Return what is under way that this person or a colleague started, newest first."""
    roles: dict[Any, str] = dict(Membership.objects.filter(user=person).values_list("organisation_id", "role"))
    jobs = list(
        Job.objects.filter(Q(owner=person) | Q(organisation_id__in=roles)).exclude(state__in=FINAL_STATES)[
            :RUNNING_SHOWN
        ]
    )
    about = {
        check.job_id: (check.filename, reverse("checks:detail", args=[check.pk]))
        for check in Check.objects.filter(job__in=jobs)
    }
    for found in CatalogueImport.objects.filter(job__in=jobs).select_related("catalogue"):
        about[found.job_id] = (found.catalogue.name, reverse("catalogues:import", args=[found.pk]))
    for artwork in Artwork.objects.filter(job__in=jobs):
        about[artwork.job_id] = (artwork.title, reverse("artworks:detail", args=[artwork.pk]))
    for proof in Proof.objects.filter(job__in=jobs).select_related("artwork"):
        title = _("Proof of %(title)s") % {"title": proof.artwork.title}
        about[proof.job_id] = (title, reverse("artworks:proof", args=[proof.artwork_id, proof.pk]))
    for trial in Trial.objects.filter(job__in=jobs):
        about[trial.job_id] = (_("What changed?"), reverse("artworks:trial", args=[trial.pk]))
    return [
        Running(
            job=job,
            snapshot=job_snapshot(job),
            title=about[job.pk][0],
            url=about[job.pk][1],
            may_cancel=job.owner_id == person.pk or roles.get(job.organisation_id, "") in _WRITERS,
        )
        for job in jobs
        if job.pk in about
    ]


def activity_for(person: User, limit: int) -> QuerySet[AuditEntry]:
    """Return the latest entries of the record of the person's organisations."""
    return AuditEntry.objects.filter(organisation__memberships__user=person).select_related(
        "actor", "api_key", "organisation"
    )[:limit]


def _of_organisation(rows: QuerySet[Any], figure: Any) -> Coalesce:
    counted = (
        rows.filter(organisation=OuterRef("organisation"))
        .order_by()
        .values("organisation")
        .annotate(n=figure)
        .values("n")
    )
    return Coalesce(Subquery(counted, output_field=BigIntegerField()), 0)
