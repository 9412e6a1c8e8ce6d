"""A private catalogue's content: taking a new state in, having keyholders check it, going back where they refuse.

Files come first, rows follow, and a killed job begins again: keyholders take the same state twice.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.private_lookup.client import offer
from provenance.private_lookup.errors import (
    BadInput,
    EngineFailed,
    Forgotten,
    KeyholderUnreachable,
    PrivateLookupError,
    Refused,
)
from provenance.private_lookup.holding import MANIFEST
from provenance.private_lookup.registry import Manifest, Registry, read_manifest
from webapp.accounts.models import ApiKey, User
from webapp.accounts.services import audit
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import Job
from webapp.jobs.services import Progress, hold_claim, job_create
from webapp.private import door
from webapp.private.keyholders import keyholders_of
from webapp.private.models import HeldBy, PrivateCatalogue, PrivateState
from webapp.private.services import holder_identity
from webapp.private.storage import (
    blocks_keep,
    blocks_link,
    blocks_of,
    holder_locked,
    holder_of,
    manifest_put,
    offering_alone,
)

OFFER = "private_offer"
_MOST_FAILED_CHECKS = 2


def content_send(
    *, private: PrivateCatalogue, data: bytes, actor: User | None = None, api_key: ApiKey | None = None
) -> Job | None:
    """Take a holder's signed manifest, whose blocks are here; return the job that has it checked, None where it is
    there already.

    Raises:
        ProductError: see :func:`webapp.private.door.manifest_read`; or another state is being checked (409).
    """
    manifest = door.manifest_read(private=private, data=data)
    return _offer_begin(private, data, manifest, actor=actor, api_key=api_key)


def content_sync(*, private: PrivateCatalogue, actor: User | None = None) -> Job | None:
    """Offer what the site's worker encrypted last, unless keyholders have it already."""
    agreement = private.agreement
    signed = Registry(holder_of(private), agreement).signed
    manifest = read_manifest(signed, agreement)
    if not manifest.sequence:
        return None
    blocks_link(private, manifest)
    return _offer_begin(private, signed, manifest, actor=actor)


def entries_of(private: PrivateCatalogue) -> list[tuple[str, bool]]:
    """Return the names of the entries that the site's worker encrypted, in order, and whether each is deleted."""
    registry = Registry(holder_of(private), private.agreement)
    found = []
    for block in registry.manifest.blocks:
        gone = set(block.deleted)
        found += [(name, slot in gone) for slot, name in enumerate(registry.ids(block))]
    return found


def entries_delete(*, private: PrivateCatalogue, names: Collection[str], actor: User) -> Job | None:
    """Delete entries: from the next state on they match nothing. It can be undone until the catalogue is compacted.

    Raises:
        ProductError: one of them is not there, or the site's worker does not encrypt here.
    """
    return _mark(private, names, actor, deleted=True)


def entries_restore(*, private: PrivateCatalogue, names: Collection[str], actor: User) -> Job | None:
    """Take a deletion of entries back.

    Raises:
        ProductError: as :func:`entries_delete`.
    """
    return _mark(private, names, actor, deleted=False)


def offer_run(*, private_id: int, job: Job, progress: Progress) -> bool:
    """Have all keyholders check the state that was sent; go back to the one before where they refuse it.

    Raises:
        ProductError: it was refused (the content is what it was), or a keyholder does not answer.
    """
    with offering_alone(private_id):
        private = PrivateCatalogue.objects.select_related("catalogue").get(pk=private_id)
        if private.offered is None:
            return True
        signed = bytes(private.offered)
        manifest = read_manifest(signed, private.agreement)
        progress("check", 0, len(manifest.blocks))
        manifest_put(private, signed)
        try:
            offer(Registry(blocks_of(private), private.agreement), keyholders_of(private))
        except (KeyholderUnreachable, EngineFailed, Forgotten) as problem:
            # It stays offered, and is offered again; what stood before answers until then.
            manifest_put(private, bytes(private.manifest) if private.manifest is not None else None)
            if isinstance(problem, EngineFailed) and _failed_often(private, job, signed):
                _settle(private, job, signed, problem=str(problem))
                raise ProductError(ErrorCode.INVALID, str(problem)) from problem
            raise ProductError(ErrorCode.PRIVATE_UNAVAILABLE, str(problem), status=503) from problem
        except (BadInput, Refused) as problem:
            _settle(private, job, signed, problem=str(problem))
            raise ProductError(ErrorCode.INVALID, str(problem)) from problem
        private.entries, private.bytes = manifest.entries, sum(block.size for block in manifest.blocks)
        private.manifest = signed
        _settle(private, job, signed)
    return True


def offers_begin_owed() -> int:
    """Begin again what a keyholder that was away could not check; return how many. Called every minute."""
    begun = 0
    waiting = PrivateCatalogue.objects.filter(state=PrivateState.READY, catalogue__deleted_at=None)
    for private in waiting.select_related("job", "catalogue__organisation"):
        if private.job is not None and not private.job.is_final:
            continue
        if private.offered is not None:
            with transaction.atomic():
                private.job = _offer_job(private)
                private.save(update_fields=("job",))
            begun += 1
        elif private.held_by == HeldBy.SITE and not private.problem and (holder_of(private) / MANIFEST).exists():
            # A worker was killed after it had encrypted and before anybody was told. What was refused stays refused.
            try:
                begun += content_sync(private=private) is not None
            except PrivateLookupError:
                continue
    return begun


def _mark(private: PrivateCatalogue, names: Collection[str], actor: User, *, deleted: bool) -> Job | None:
    require_site_held(private)
    if not names:
        raise ProductError(ErrorCode.INVALID, _("Choose at least one entry."))
    with holder_locked(private) as folder:
        registry = Registry(folder, private.agreement)
        change = registry.delete if deleted else registry.restore
        try:
            change(names, holder_identity(private))
        except BadInput as problem:
            raise ProductError(ErrorCode.NOT_FOUND, str(problem), status=404) from problem
        audit(
            verb="private.entries_deleted" if deleted else "private.entries_restored",
            obj=private.catalogue,
            actor=actor,
            organisation=private.catalogue.organisation,
            data={"count": len(names)},
        )
        return content_sync(private=private, actor=actor)


def require_site_held(private: PrivateCatalogue) -> None:
    """Refuse what only the holder's own machine can do.

    Raises:
        ProductError: the site's worker does not encrypt for this catalogue, or its keys are not there yet (409).
    """
    if private.held_by != HeldBy.SITE:
        raise ProductError(ErrorCode.CONFLICT, _("This catalogue is encrypted on its holder's machine."), status=409)
    if private.state != PrivateState.READY:
        raise ProductError(ErrorCode.CONFLICT, _("The keys of this catalogue are not made yet."), status=409)


def _offer_begin(
    private: PrivateCatalogue,
    signed: bytes,
    manifest: Manifest,
    *,
    actor: User | None = None,
    api_key: ApiKey | None = None,
) -> Job | None:
    with transaction.atomic():
        private = PrivateCatalogue.objects.select_for_update(of=("self",)).get(pk=private.pk)
        if any(known is not None and bytes(known) == signed for known in (private.manifest, private.offered)):
            return private.job if private.offered is not None else None
        if private.offered is not None and private.held_by == HeldBy.HOLDER:
            raise ProductError(
                ErrorCode.CONFLICT,
                _("The keyholders are checking what was sent before. Send this when they are done."),
                status=409,
                retry_after=10,
            )
        private.offered = signed
        private.job = _offer_job(private)
        private.problem, private.failed_checks = "", 0
        private.save(update_fields=("offered", "job", "problem", "failed_checks"))
        audit(
            verb="private.content_sent",
            obj=private.catalogue,
            actor=actor,
            api_key=api_key,
            organisation=private.catalogue.organisation,
            data={"entries": manifest.entries, "state": manifest.sequence, "manifest": manifest.id},
        )
    return private.job


def _offer_job(private: PrivateCatalogue) -> Job:
    return job_create(
        kind=OFFER,
        steps=[("check", gettext_lazy("Keyholders check the new content"))],
        payload={"private": private.pk},
        organisation=private.catalogue.organisation,
    )


def _failed_often(private: PrivateCatalogue, job: Job, signed: bytes) -> bool:
    """Count that engines ended while a state was checked; tell whether that is enough to refuse it."""
    # What was sent meanwhile is another state, of which nothing is known yet.
    checked = PrivateCatalogue.objects.filter(pk=private.pk, offered=signed)
    with transaction.atomic():
        hold_claim(job=job)
        checked.update(failed_checks=F("failed_checks") + 1)
    return checked.filter(failed_checks__gte=_MOST_FAILED_CHECKS).exists()


def _settle(private: PrivateCatalogue, job: Job, signed: bytes, problem: str = "") -> None:
    """Write what became of a state that was offered, and keep the files of what counts now."""
    with transaction.atomic():
        hold_claim(job=job)
        # What came meanwhile waits for its own turn.
        newer = PrivateCatalogue.objects.select_for_update().get(pk=private.pk).offered
        private.offered = None if newer is None or bytes(newer) == signed else newer
        private.problem = problem[:500] if private.offered is None else ""
        private.save(update_fields=("manifest", "offered", "problem", "entries", "bytes"))
        if problem:
            # The row has no place for it where a newer state waits.
            audit(
                verb="private.content_refused",
                obj=private.catalogue,
                organisation=private.catalogue.organisation,
                data={"label": f"{private.catalogue.name}: {problem}"},
            )
    states = [bytes(state) for state in (private.manifest, private.offered) if state is not None]
    manifest_put(private, bytes(private.manifest) if private.manifest is not None else None)
    blocks_keep(private, *(read_manifest(state, private.agreement) for state in states))
