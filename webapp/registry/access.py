"""Who may see which work: the only way by which a view gets one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.http import Http404

from webapp.accounts.models import User
from webapp.registry.models import Visibility, Work


@dataclass(frozen=True)
class Seen:
    """A work as somebody sees it.

    Attributes:
        picture: whether they see the picture, or only the record of it.
        member: whether they belong to the organisation that registered it.
    """

    work: Work
    picture: bool
    member: bool


def work_get(*, user: User | AnonymousUser, work_id: uuid.UUID | str) -> Seen:
    """Return a registered work. Its record is public; its picture may be for members and reviewers only.

    Raises:
        Http404: there is no such work, or it was deleted.
    """
    work = Work.objects.live().select_related("organisation").filter(pk=work_id).first()
    if work is None:
        raise Http404
    member = user.is_authenticated and work.organisation.memberships.filter(user=user).exists()
    picture = member or user.is_staff or work.visibility == Visibility.PUBLIC
    return Seen(work, picture, member)
