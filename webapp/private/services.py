"""Marking a catalogue private, having its keys made, and what its holder lets others do.

What is long is a job that may be killed at any time: what the keyholders have done they do not do again.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.hashing.hasher import HASHERS
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.errors import PrivateLookupError
from provenance.private_lookup.holding import MANIFEST
from provenance.private_lookup.identity import Identity, PublicIdentity
from provenance.private_lookup.joint_keys import keys_digest
from provenance.private_lookup.registry import Registry
from webapp.accounts.models import User
from webapp.accounts.services import audit
from webapp.artworks.sealing import seal, unseal
from webapp.catalogues.models import Catalogue
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.services import Progress, hold_claim, job_create
from webapp.private.feature import require_feature
from webapp.private.identities import site_identity
from webapp.private.meeting import KEYHOLDERS, Meeting, State, is_alive
from webapp.private.models import HeldBy, PrivateCatalogue, PrivateClient, PrivateState
from webapp.private.storage import blocks_of, holder_of, meeting_of, place

KEYS = "private_keys"
# Questions that keyholders answer to all who ask through this site, together; each asker has less.
SITE_DAILY_ANSWERS = 100
_SLICE_SECONDS = 15.0
_LOOK_AGAIN = 0.25
# The number that stands for "a private catalogue more" among PostgreSQL's advisory locks: the letters of "private".
_COUNT_LOCK = 0x70726976617465


@dataclass(frozen=True)
class Terms:
    """What a holder decides before there is any key; it cannot be changed afterwards."""

    held_by: HeldBy
    algorithm: str
    tau: int
    who_allowed: bool
    planned_entries: int


@transaction.atomic
def private_begin(
    *, catalogue: Catalogue, terms: Terms, holder: PublicIdentity | None, actor: User
) -> PrivateCatalogue:
    """Mark an empty catalogue private; its keyholders make its keys by a job.

    Args:
        holder: public keys of whoever signs its content, where the holder encrypts.

    Raises:
        ProductError: the feature is off, there are pictures in it, it is private already, or its organisation,
            this person or the site has as many as may be.
    """
    require_feature()
    catalogue = Catalogue.objects.select_for_update(of=("self",)).select_related("organisation").get(pk=catalogue.pk)
    if catalogue.is_private:
        raise ProductError(ErrorCode.CONFLICT, _("This catalogue is private already."), status=409)
    if catalogue.items.exists() or catalogue.imports.exclude(job__state__in=FINAL_STATES).exists():
        raise ProductError(
            ErrorCode.CONFLICT,
            _("There are pictures in this catalogue, or on their way into it, in clear. Make an empty one."),
            status=409,
        )
    _require_room(catalogue, actor)
    private = PrivateCatalogue(
        catalogue=catalogue,
        held_by=terms.held_by,
        algorithm=terms.algorithm,
        tau=terms.tau,
        who_allowed=terms.who_allowed,
        planned_entries=terms.planned_entries,
        created_by=actor,
    )
    if terms.held_by == HeldBy.SITE:
        made = Identity.new(f"holder-{catalogue.pk.hex[:12]}")
        private.sealed_holder = seal(made.to_bytes(), _context(private))
        holder = made.public
    if holder is None:
        raise ProductError(
            ErrorCode.INVALID,
            _("Send the identity.json of whoever will sign the content."),
            fields={"identity": [_("Make it with: provenance catalogue identity holder/ NAME")]},
        )
    if holder.name in (*KEYHOLDERS, site_identity().name):
        raise ProductError(ErrorCode.INVALID, _("A keyholder or this site has that name. Make another identity."))
    private.holder = holder.to_dict()
    catalogue.is_private = True
    catalogue.save(update_fields=("is_private",))
    private.save()
    private.job = _keys_job(private)
    private.save(update_fields=("job",))
    audit(
        verb="private.begun",
        obj=catalogue,
        actor=actor,
        organisation=catalogue.organisation,
        data={
            "name": catalogue.name,
            "held_by": str(terms.held_by),
            "algorithm": terms.algorithm,
            "tau": terms.tau,
            "who_allowed": terms.who_allowed,
        },
    )
    return private


@transaction.atomic
def keys_again(*, private: PrivateCatalogue) -> None:
    """Go on where the making of keys was cancelled or failed."""
    private = PrivateCatalogue.objects.select_for_update().get(pk=private.pk)
    if private.state == PrivateState.READY or (private.job is not None and not private.job.is_final):
        return
    private.state, private.problem = PrivateState.MAKING_KEYS, ""
    private.job = _keys_job(private)
    private.save(update_fields=("state", "problem", "job"))


def keys_run(*, private_id: int, job: Job, progress: Progress) -> bool:
    """Do the site's part while keyholders make the keys; return whether they are there.

    Raises:
        ProductError: a keyholder says that it cannot be done.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    private = PrivateCatalogue.objects.select_related("catalogue").filter(pk=private_id).first()
    if private is None or private.state == PrivateState.READY:
        return True
    meeting = meeting_of(private)
    if not meeting.is_open:
        meeting.open(blocks_of(private))
    try:
        until = time.monotonic() + _SLICE_SECONDS
        while time.monotonic() < until:
            states = {name: meeting.state(name) for name in KEYHOLDERS}
            progress("keys" if private.agreement_json else "agree", note=_note(states))
            for name, state in states.items():
                if state.problem:
                    raise ProductError(ErrorCode.CONFLICT, f"{name}: {state.problem}", status=409)
            if private.agreement_json is None:
                _agree(private, meeting, job)
            elif all(state.keys for state in states.values()):
                _take_keys(private, meeting, states, job)
                return True
            time.sleep(_LOOK_AGAIN)
    except PrivateLookupError as problem:
        _keys_failed(private, str(problem))
        raise ProductError(ErrorCode.CONFLICT, str(problem), status=409) from problem
    except ProductError as refusal:
        _keys_failed(private, str(refusal.message))
        raise
    return False


def holder_identity(private: PrivateCatalogue) -> Identity:
    """Return the secret keys that sign the content, where this site's worker encrypts."""
    assert private.sealed_holder is not None
    return Identity.from_bytes(unseal(bytes(private.sealed_holder), _context(private)))


@transaction.atomic
def client_admit(*, private: PrivateCatalogue, identity: PublicIdentity, actor: User) -> PrivateClient:
    """Let somebody with keys of their own ask; each keyholder answers them from their next question on.

    Raises:
        ProductError: another has that name.
    """
    reserved = {*KEYHOLDERS, site_identity().name, private.holder["name"]}
    known = private.clients.filter(name=identity.name).first()
    if identity.name in reserved or (known and known.identity != identity.to_dict()):
        raise ProductError(
            ErrorCode.CONFLICT, _("Another has this name. Make an identity of another name."), status=409
        )
    if known is None:
        known = PrivateClient(private=private, name=identity.name, identity=identity.to_dict(), added_by=actor)
    known.removed_at = None
    known.save()
    audit(
        verb="private.client_admitted",
        obj=private.catalogue,
        actor=actor,
        organisation=private.catalogue.organisation,
        data={"name": identity.name},
    )
    transaction.on_commit(lambda: meeting_of(private).admit(identity))
    return known


@transaction.atomic
def client_remove(*, client: PrivateClient, actor: User) -> None:
    """Relay no more questions of a client. It can be admitted again."""
    client.removed_at = timezone.now()
    client.save(update_fields=("removed_at",))
    audit(
        verb="private.client_removed",
        obj=client.private.catalogue,
        actor=actor,
        organisation=client.private.catalogue.organisation,
        data={"name": client.name},
    )


def _require_room(catalogue: Catalogue, actor: User) -> None:
    with connection.cursor() as cursor:
        # One at a time, so that the limits are exact.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_COUNT_LOCK])
    # What is deleted has its keys and its disk until it is purged, and may come back until then.
    every = PrivateCatalogue.objects.all()
    own = every.filter(Q(catalogue__organisation=catalogue.organisation_id) | Q(created_by=actor)).count()
    if own >= settings.PRIVATE_MAX_CATALOGUES:
        sentence = _(
            "Your organisation and you have %(n)d private catalogues, and may not have more. Delete one: it counts for"
            " %(hours)d more hours, while that can be undone."
        )
        raise ProductError(
            ErrorCode.QUOTA_EXCEEDED, sentence % {"n": own, "hours": settings.UNDO_HOURS}, status=409
        )
    if every.count() >= settings.PRIVATE_MAX_CATALOGUES_SITE:
        raise ProductError(
            ErrorCode.QUOTA_EXCEEDED,
            _("This site has as many private catalogues as it has room for. Its operator can allow more."),
            status=409,
        )


def _agree(private: PrivateCatalogue, meeting: Meeting, job: Job) -> None:
    found = [meeting.identity(name) for name in KEYHOLDERS]
    parties = tuple(one for one in found if one is not None)
    if len(parties) < len(KEYHOLDERS):
        return
    bits = HASHERS[private.algorithm].length
    agreement = Agreement(
        settings.PRIVATE_SCHEME.format(bits=bits),
        private.algorithm,
        private.tau,
        tuple(Policy) if private.who_allowed else (Policy.BIT,),
        parties,
        PublicIdentity.from_dict(private.holder),
        SITE_DAILY_ANSWERS,
    )
    with transaction.atomic():
        hold_claim(job=job)
        private.agreement_json = agreement.to_json()
        private.save(update_fields=("agreement_json",))
    meeting.agree(agreement)
    meeting.admit(site_identity().public)


def _take_keys(private: PrivateCatalogue, meeting: Meeting, states: dict[str, State], job: Job) -> None:
    if {state.keys for state in states.values()} != {keys_digest(meeting.keys)}:
        raise ProductError(ErrorCode.CONFLICT, _("The keyholders have different joint keys. Begin anew."), status=409)
    if private.held_by == HeldBy.SITE and not (holder_of(private) / MANIFEST).exists():
        holder = holder_identity(private)
        Registry.create(holder_of(private), private.agreement, holder, private.key)
    with transaction.atomic():
        hold_claim(job=job)
        private.state, private.problem = PrivateState.READY, ""
        private.save(update_fields=("state", "problem"))
    # A gigabyte of messages that nobody needs any more; secret parts in them were sealed.
    shutil.rmtree(meeting.exchange, ignore_errors=True)


def _keys_failed(private: PrivateCatalogue, problem: str) -> None:
    private.state, private.problem = PrivateState.FAILED, problem[:500]
    private.save(update_fields=("state", "problem"))


def _keys_job(private: PrivateCatalogue) -> Job:
    return job_create(
        kind=KEYS,
        steps=[
            ("agree", gettext_lazy("Keyholders say who they are, and agree")),
            ("keys", gettext_lazy("Keyholders make the joint keys")),
        ],
        payload={"private": private.pk},
        organisation=private.catalogue.organisation,
    )


def _note(states: dict[str, State]) -> str:
    away = [name for name in KEYHOLDERS if not is_alive(place(), name)]
    if away:
        return _("%(names)s does not run just now") % {"names": ", ".join(away)}
    sentence = _("a part of the keys is still being made: %(what)s")
    return next((sentence % {"what": state.waiting} for state in states.values() if state.waiting), "")


def _context(private: PrivateCatalogue) -> str:
    return f"private-holder:{private.catalogue_id}"
