"""Telling a holder that somebody may be finding an entry's hash out, bit by bit.

Keyholders cannot see hits. The site can, of the questions that it asks itself: many hits of one asker about one
catalogue in a day are what such a search looks like. Of relayed questions it sees only how many there are.
"""

from __future__ import annotations

import logging

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from provenance.private_lookup.circuit import Policy
from webapp.accounts.models import AuditEntry, Role, User
from webapp.accounts.services import audit
from webapp.private.budget import DAY, counted
from webapp.private.models import PrivateCatalogue, PrivateQuestion

log = logging.getLogger(__name__)

VERB = "private.alarm"
# One asker, one catalogue, 24 hours. Finding a hash out takes about 106 answers, half of them hits.
MOST_HITS = 3


def alarm_if_due(question: PrivateQuestion) -> None:
    """Look at what an asker has asked in 24 hours; tell the holder, once in that time, where it looks like a search."""
    private = question.private
    own = counted(private).filter(credential=question.credential)
    hits = own.filter(matches=True, policy=Policy.BIT).count()
    asked = own.count()
    if hits >= MOST_HITS:
        _tell(private, question.credential, "hits", hits, asked)
    if asked >= settings.PRIVATE_QUESTIONS_PER_DAY:
        _tell(private, question.credential, "limit", hits, asked)


def alarms_of(private: PrivateCatalogue) -> QuerySet[AuditEntry]:
    """Return a catalogue's alarms, newest first."""
    found = AuditEntry.objects.filter(
        verb=VERB, object_type=private.catalogue._meta.label_lower, object_id=str(private.catalogue_id)
    )
    return found.order_by("-at")


def asker_words(credential: str, viewer: User | None = None) -> str:
    """Return who a limit is counted for, in words: whose name another holder may not know has a number."""
    kind, _colon, key = credential.partition(":")
    if viewer is not None and credential == f"user:{viewer.pk}":
        return _("you")
    if kind == "user":
        return _("a person with an account (no. %(number)s)") % {"number": key}
    return _("an organisation's API key (organisation %(number)s)") % {"number": key}


@transaction.atomic
def _tell(private: PrivateCatalogue, credential: str, kind: str, hits: int, asked: int) -> None:
    PrivateCatalogue.objects.select_for_update(of=("self",)).get(pk=private.pk)
    lately = alarms_of(private).filter(at__gt=timezone.now() - DAY)
    if lately.filter(data__credential=credential, data__kind=kind).exists():
        return
    catalogue = private.catalogue
    log.warning("private catalogue %s: %s by %s: %d hits of %d", catalogue.pk, kind, credential, hits, asked)
    audit(
        verb=VERB,
        obj=catalogue,
        organisation=catalogue.organisation,
        data={"name": catalogue.name, "credential": credential, "kind": kind, "hits": hits, "asked": asked},
    )
    text = render_to_string(
        "private/mail/alarm.txt",
        {
            "catalogue": catalogue,
            "hits": hits,
            "asked": asked,
            "who": asker_words(credential),
            "url": settings.SITE_URL + reverse("private:page", args=[catalogue.pk]),
        },
    )
    owners = catalogue.organisation.memberships.filter(role=Role.OWNER).values_list("user__email", flat=True)
    subject = _("Many questions about your private catalogue “%(name)s”") % {"name": catalogue.name}
    addresses = list(owners)
    transaction.on_commit(lambda: send_mail(subject, text, None, addresses, fail_silently=True))
