"""Reading checks, and who may: the only way by which a view gets one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from webapp.accounts.models import Role, User
from webapp.checks.models import Check, Evidence, EvidenceKind
from webapp.jobs.models import JobState
from webapp.registry.models import Visibility, Work

Viewer = User | AnonymousUser


@dataclass(frozen=True)
class SeenCheck:
    """A check as somebody sees it. Whoever has the link sees the verdict and its figures.

    Attributes:
        picture: whether they see the uploaded picture: whoever sent it, members of its organisation, staff.
        manage: whether they may delete the upload: the same, but not members who only read.
        cancel: whether they may stop it; the same rule as that of its job (``jobs.selectors.job_get``).
    """

    check: Check
    picture: bool
    manage: bool
    cancel: bool

    @property
    def name(self) -> str:
        """The file's name for those who see the picture; whoever has only the link is not told it."""
        return self.check.filename if self.picture else _("a picture")

    @property
    def has_file(self) -> bool:
        """Whether the upload is still kept."""
        return self.check.file_deleted_at is None


def check_get(*, check_id: uuid.UUID | str, user: Viewer, visitor_digest: str) -> SeenCheck:
    """Return a check with its job, and what this person may do with it.

    Raises:
        Http404: there is no such check.
    """
    check = Check.objects.select_related("job", "organisation").filter(pk=check_id).first()
    if check is None:
        raise Http404
    return _seen(check, user, visitor_digest)


def batch_get(*, batch: uuid.UUID, user: Viewer, visitor_digest: str) -> list[SeenCheck]:
    """Return the checks that were sent together, in the order in which they were sent.

    Raises:
        Http404: there is no such batch.
    """
    checks = Check.objects.select_related("job", "organisation").filter(batch=batch).order_by("created_at", "id")
    if not checks:
        raise Http404
    # Sent in one act, they have one sender and one organisation.
    first = _seen(checks[0], user, visitor_digest)
    return [replace(first, check=check) for check in checks]


def checks_of(*, user: Viewer, visitor_digest: str) -> QuerySet[Check]:
    """Return the checks that this person sent from here, newest first: with their account or in this session."""
    mine = Q(pk__in=())
    if user.is_authenticated:
        mine |= Q(owner=user)
    if visitor_digest:
        mine |= Q(visitor_digest=visitor_digest)
    return Check.objects.filter(mine).select_related("job")


def evidence_of(check: Check) -> list[Evidence]:
    """Return a check's evidence, kind by kind, with the works that it is about. The order is always the same."""
    kinds = list(EvidenceKind)
    found = check.evidence.select_related("work__organisation")
    return sorted(found, key=lambda item: (kinds.index(EvidenceKind(item.kind)), item.ordinal))


def evidence_pair(*, check: Check, ordinal: int) -> Evidence:
    """Return the evidence of the pair with that ordinal.

    Raises:
        Http404: there is none.
    """
    found = check.evidence.select_related("work__organisation").filter(kind=EvidenceKind.PAIR, ordinal=ordinal)
    evidence = found.first()
    if evidence is None:
        raise Http404
    return evidence


def work_picture_visible(*, work: Work | None, user: Viewer) -> bool:
    """Return whether this person may see a registered work's picture in a check's evidence.

    A work that was deleted, or whose owner shows only its record, is not shown to others.
    """
    if work is None or work.deleted_at is not None:
        return False
    if work.visibility == Visibility.PUBLIC:
        return True
    return user.is_authenticated and (user.is_staff or work.organisation.memberships.filter(user=user).exists())


def is_answered(check: Check) -> bool:
    """Return whether the verdict stands: written, and its job over."""
    return bool(check.verdict) and check.job.state == JobState.SUCCEEDED


def _seen(check: Check, user: Viewer, visitor_digest: str) -> SeenCheck:
    sender = bool(
        (user.is_authenticated and check.owner_id == user.pk)
        or (check.visitor_digest and check.visitor_digest == visitor_digest)
    )
    role = None
    if user.is_authenticated and not sender and check.organisation is not None:
        role = check.organisation.memberships.filter(user=user).values_list("role", flat=True).first()
    editor = sender or role in (Role.OWNER, Role.EDITOR)
    return SeenCheck(
        check,
        picture=editor or role is not None or user.is_staff,
        manage=editor or user.is_staff,
        cancel=editor or user.is_superuser,
    )
