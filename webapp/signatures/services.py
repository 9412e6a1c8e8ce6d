"""What people do with signatures: have works signed, get numbers for generators, revoke, test. One audit entry each."""

from __future__ import annotations

import hashlib
import secrets
import uuid

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.watermark.payload import NUMBER_BITS
from webapp.accounts.models import ApiKey, Organisation, User
from webapp.accounts.services import audit
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import Job
from webapp.jobs.services import Progress, hold_claim, job_create
from webapp.ratelimit import require
from webapp.registry.models import Work
from webapp.signatures.models import Kind, SignatureCode
from webapp.signatures.signing import bound_to, copy_make, has_copy, why_not

SIGNING = "signature_sign"
# Of one organisation, those in force.
MOST_GENERATORS = 100
_HOUR = 3600
# With nine tenths of all numbers given, a free one is found in so many tries but for one time in a thousand million.
_TRIES = 200


def number_give(code: SignatureCode) -> None:
    """Save a new code under a number that nobody has; two processes never get the same.

    Raises:
        ProductError: nearly all numbers are given.
        IntegrityError: the work has a code in force.
    """
    for _try in range(_TRIES):
        code.number = secrets.randbelow(1 << NUMBER_BITS)
        try:
            with transaction.atomic():
                code.save(force_insert=True)
        except IntegrityError:
            if not SignatureCode.objects.filter(number=code.number).exists():
                raise
        else:
            return
    raise ProductError(ErrorCode.QUOTA_EXCEEDED, _("This site has no numbers left for signatures."), status=503)


@transaction.atomic
def signing_begin(*, work: Work, actor: User | None, api_key: ApiKey | None = None) -> SignatureCode:
    """Have a work signed, under its number or a new one; what is signed already, or on its way, is not begun again.

    Raises:
        ProductError: the picture cannot be signed (422), the work was deleted, or it is too much in this hour.
    """
    # One at a time for each work.
    held = Work.objects.live().select_for_update(no_key=True).filter(pk=work.pk).first()
    if held is None:
        raise ProductError(ErrorCode.NOT_FOUND, _("This work was deleted in the meantime."), status=404)
    if refusal := why_not(held):
        raise ProductError(ErrorCode.CANNOT_BE_SIGNED, refusal, status=422)
    subject = bound_to(held)
    assert subject is not None, "why_not has looked"
    code = held.signature_codes.select_for_update(of=("self",)).filter(revoked_at=None).first()
    if code is None:
        code = SignatureCode(
            kind=Kind.WORK, organisation=held.organisation, work=held, subject=subject, created_by=actor
        )
        number_give(code)
        audit(
            verb="signature.given",
            obj=code,
            actor=actor,
            api_key=api_key,
            organisation=held.organisation,
            data={"number": code.number, "work": str(held.pk)},
        )
    if has_copy(code) or (code.job is not None and not code.job.is_final):
        return code
    who = f"key:{api_key.pk}" if api_key else f"user:{actor.pk if actor else ''}"
    limit = settings.CHECKS_PER_HOUR_KEY if api_key else settings.CHECKS_PER_HOUR_USER
    require("signing", who, limit=limit, window=_HOUR)
    code.job = job_create(
        kind=SIGNING,
        steps=[("signing", gettext_lazy("Signing the picture"))],
        payload={"code": str(code.pk)},
        owner=actor,
        organisation=held.organisation,
    )
    code.save(update_fields=("job",))
    return code


def signing_run(*, code_id: uuid.UUID | str, job: Job, progress: Progress) -> bool:
    """Make the signed copy.

    Raises:
        ProductError: it cannot be made.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    progress("signing")
    code = SignatureCode.objects.select_related("work").filter(pk=code_id).first()
    if code is None:
        raise ProductError(ErrorCode.GONE, _("The work was deleted, or its signature revoked."), status=410)
    copy_make(code)
    with transaction.atomic():
        hold_claim(job=job)
    return True


@transaction.atomic
def generator_create(
    *, organisation: Organisation, name: str, actor: User | None, api_key: ApiKey | None = None
) -> SignatureCode:
    """Give a generator a number, which all its pictures will carry.

    Raises:
        ProductError: the organisation has as many as it may have, or one of this name.
        ValidationError: the name does not fit.
    """
    _room_for_generator(organisation.pk, name.strip())
    code = SignatureCode(kind=Kind.GENERATOR, organisation=organisation, name=name.strip(), created_by=actor)
    code.subject = hashlib.sha256(f"generator:{code.pk}".encode()).hexdigest()
    code.number = 0
    code.clean_fields(exclude={"organisation", "created_by", "work", "job"})
    if not code.name:
        message = _("Give the generator a name.")
        raise ProductError(ErrorCode.INVALID, message, fields={"name": [message]})
    number_give(code)
    audit(
        verb="generator.created",
        obj=code,
        actor=actor,
        api_key=api_key,
        organisation=organisation,
        data={"name": code.name, "number": code.number},
    )
    return code


def _room_for_generator(organisation_id: uuid.UUID, name: str) -> None:
    # One at a time for each organisation, so that the limit holds, and a form that was sent twice makes one.
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=organisation_id)
    in_force = SignatureCode.objects.filter(organisation=organisation, kind=Kind.GENERATOR, revoked_at=None)
    if in_force.count() >= MOST_GENERATORS:
        raise ProductError(
            ErrorCode.QUOTA_EXCEEDED,
            _("Your organisation has %(most)d generators, the most it may have. Revoke one that is not in use.")
            % {"most": MOST_GENERATORS},
            status=409,
        )
    if in_force.filter(name=name).exists():
        message = _("Your organisation has a generator of this name. Find it under Signatures, or name the version.")
        raise ProductError(ErrorCode.CONFLICT, message, status=409, fields={"name": [message]})


@transaction.atomic
def code_revoke(*, code: SignatureCode, actor: User | None, api_key: ApiKey | None = None) -> SignatureCode:
    """Revoke a signature: checks that read it say so from now on. A second time changes nothing."""
    code = SignatureCode.objects.select_for_update(of=("self",)).get(pk=code.pk)
    if code.revoked_at is None:
        code.revoked_at = timezone.now()
        code.save(update_fields=("revoked_at",))
        verb = "generator.revoked" if code.kind == Kind.GENERATOR else "signature.revoked"
        _audit_change(verb, code, actor, api_key)
    return code


@transaction.atomic
def code_restore(*, code: SignatureCode, actor: User | None, api_key: ApiKey | None = None) -> SignatureCode:
    """Take a revocation back.

    Raises:
        ProductError: it is in force, the time in which this could be done is over, or the work has another signature
            by now, or the organisation another generator of that name.
    """
    code = SignatureCode.objects.select_for_update(of=("self",)).get(pk=code.pk)
    if code.revoked_at is None:
        raise ProductError(ErrorCode.CONFLICT, _("It is not revoked."), status=409)
    if not code.can_be_restored:
        raise ProductError(ErrorCode.GONE, _("The time in which this could be undone is over."), status=410)
    if code.kind == Kind.GENERATOR:
        _room_for_generator(code.organisation_id, code.name)
    code.revoked_at = None
    try:
        with transaction.atomic():
            code.save(update_fields=("revoked_at",))
    except IntegrityError:
        message = _("The work has got another signature in the meantime.")
        raise ProductError(ErrorCode.CONFLICT, message, status=409) from None
    verb = "generator.restored" if code.kind == Kind.GENERATOR else "signature.restored"
    _audit_change(verb, code, actor, api_key)
    return code


def _audit_change(verb: str, code: SignatureCode, actor: User | None, api_key: ApiKey | None) -> None:
    audit(
        verb=verb,
        obj=code,
        actor=actor,
        api_key=api_key,
        organisation=code.organisation,
        data={"number": code.number},
    )
