"""Choosing a catalogue's deep hash, and giving its pictures their codes: a job that may be killed at any time."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pgvector import HalfVector

from provenance.hashing.autoencoders import Features, Packed
from provenance.hashing.deephash import DEEP_HASHES, too_plain
from provenance.images.decode import DecodeError, Limits, decode, memory_limit
from webapp import files
from webapp.accounts.models import ApiKey, Organisation, User
from webapp.accounts.services import audit
from webapp.catalogues.models import Catalogue
from webapp.deephash.hashes import chosen_hash, hash_errors
from webapp.deephash.models import CatalogueHash, DeepCode, TrainedModel
from webapp.deephash.search import bits_of
from webapp.deephash.storage import delete_files
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import FINAL_STATES, Job, JobState
from webapp.jobs.processors import take_share_of_processors
from webapp.jobs.services import Progress, hold_claim, job_cancel, job_create
from webapp.registry.models import Work

log = logging.getLogger(__name__)

RGB = npt.NDArray[np.uint8]

SHIPPED = {
    "edit-hash-64-v1": gettext_lazy("Edit hash, 64 bits: survives rotations, crops, noise and mirroring"),
    "con-vae-64-v1": gettext_lazy("Con-VAE, 64 bits: the published method, with reconstruction"),
    "con-vae-128-v1": gettext_lazy("Con-VAE, 128 bits: the published method, with reconstruction"),
}
HASHING = "deephash_hash"
SLICE_SECONDS = 20.0
BATCH = 32
AGAIN_AFTER = timedelta(hours=1)


def works_of(catalogue: Catalogue) -> QuerySet[Work]:
    """Return a catalogue's live works."""
    return Work.objects.live().filter(catalogue_item__catalogue=catalogue)


def require_clear(catalogue: Catalogue) -> None:
    """Refuse a private catalogue.

    Raises:
        ProductError: it is one.
    """
    if catalogue.is_private:
        message = _("This catalogue is private: it has no pictures in clear, of which hashes are made.")
        raise ProductError(ErrorCode.CONFLICT, message, status=409)


# --- Choosing ---


@dataclass(frozen=True)
class HashChoice:
    """A deep hash that a catalogue may use; ``model`` is None of a shipped one."""

    algorithm: str
    description: str
    bits: int
    reconstructs: bool
    model: TrainedModel | None = None


def choices_of(catalogue: Catalogue) -> list[HashChoice]:
    """Return the shipped hashes, and those that were trained in the catalogue's organisation, newest first."""
    words = _("%(name)s, learnt from “%(catalogue)s”")
    return [
        *(HashChoice(name, str(SHIPPED[name]), each.length, each.reconstructs) for name, each in DEEP_HASHES.items()),
        *(
            HashChoice(
                one.algorithm,
                words % {"name": one.algorithm, "catalogue": one.catalogue or _("a deleted catalogue")},
                one.bits,
                True,
                one,
            )
            for one in models_of(catalogue)
        ),
    ]


@transaction.atomic
def hash_choose(
    *, catalogue: Catalogue, algorithm: str, actor: User | None, api_key: ApiKey | None = None
) -> None:
    """Let a catalogue use a deep hash, or none; its pictures get their codes by a job.

    Args:
        algorithm: of a shipped hash or of one that was trained in this organisation; empty for none. The one it uses
            already: the giving of codes goes on, where it was cancelled or failed.

    Raises:
        ProductError: there is no such hash, or no picture in clear.
    """
    if algorithm:
        require_clear(catalogue)
    lock_models(catalogue.organisation_id)
    chosen = next((one for one in choices_of(catalogue) if one.algorithm == algorithm), None)
    if algorithm and chosen is None:
        message = _("There is no such hash. Choose one of the list.")
        raise ProductError(ErrorCode.INVALID, message, fields={"algorithm": [message]})
    _record_choice(catalogue, algorithm, actor, api_key)
    set_choice(catalogue, algorithm, chosen.model if chosen else None)


def _record_choice(catalogue: Catalogue, algorithm: str, actor: User | None, api_key: ApiKey | None) -> None:
    audit(
        verb="catalogue.hash_chosen",
        obj=catalogue,
        actor=actor,
        api_key=api_key,
        organisation=catalogue.organisation,
        data={"algorithm": algorithm},
    )


def models_of(catalogue: Catalogue) -> QuerySet[TrainedModel]:
    """Return the models that were trained in the catalogue's organisation, newest first."""
    found = TrainedModel.objects.filter(organisation=catalogue.organisation_id).exclude(trained_at=None)
    return found.select_related("catalogue").prefetch_related("uses__catalogue")


def lock_models(organisation_id: uuid.UUID) -> None:
    """Let models and choices of an organisation change one at a time, until this transaction ends."""
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation_id)


def set_choice(catalogue: Catalogue, algorithm: str, model: TrainedModel | None) -> None:
    """Set what the catalogue uses; whoever calls this holds the lock of its organisation."""
    before = CatalogueHash.objects.select_for_update().filter(catalogue=catalogue).first()
    if before is not None and before.algorithm != algorithm:
        DeepCode.objects.filter(work__catalogue_item__catalogue=catalogue, algorithm=before.algorithm).delete()
        before.delete()
        before = None
    if algorithm:
        choice = before or CatalogueHash.objects.create(
            catalogue=catalogue, algorithm=algorithm, trained_model=model
        )
        _begin_hashing(choice)


# --- Deleting models ---


@transaction.atomic
def model_delete(*, model: TrainedModel, actor: User | None, api_key: ApiKey | None = None) -> None:
    """Delete a trained model; the catalogues that use it have no deep hash afterwards.

    Raises:
        ProductError: it is being trained.
    """
    lock_models(model.organisation_id)
    if not TrainedModel.objects.filter(pk=model.pk).exists():
        return
    if not Job.objects.filter(pk=model.job_id, state__in=FINAL_STATES).exists():
        raise ProductError(ErrorCode.CONFLICT, _("This hash is being trained. Cancel the training first."), status=409)
    for use in model.uses.select_related("catalogue"):
        _record_choice(use.catalogue, "", actor, api_key)
        set_choice(use.catalogue, "", None)
    _delete(model, actor, api_key)


def models_forget() -> int:
    """Delete the models of purged catalogues that no other uses; return how many. Called every minute."""
    forgotten = 0
    for model in TrainedModel.objects.filter(catalogue=None, uses=None):
        with transaction.atomic():
            lock_models(model.organisation_id)
            if TrainedModel.objects.filter(pk=model.pk, uses=None).exists():
                _delete(model, None, None)
                forgotten += 1
    return forgotten


def _delete(model: TrainedModel, actor: User | None, api_key: ApiKey | None) -> None:
    audit(
        verb="catalogue.hash_deleted",
        obj=model,
        actor=actor,
        api_key=api_key,
        organisation=model.organisation,
        data={"algorithm": model.algorithm},
    )
    # Works that were moved out of its catalogues have codes of it too.
    DeepCode.objects.filter(algorithm=model.algorithm).delete()
    transaction.on_commit(partial(delete_files, model.pk))
    model.delete()


# --- Giving pictures their codes ---


def works_without_code(choice: CatalogueHash) -> QuerySet[Work]:
    """Return the catalogue's works that have no code of its hash yet, those that get none left out."""
    coded = DeepCode.objects.filter(algorithm=choice.algorithm).values("work")
    return works_of(choice.catalogue).exclude(pk__in=coded).exclude(pk__in=[*choice.unreadable, *choice.plain])


def hashing_halted(choice: CatalogueHash) -> Job | None:
    """Return the job that was cancelled or failed before all pictures had their codes; None where no picture waits."""
    job = choice.job
    halted = job is not None and job.state in (JobState.CANCELLED, JobState.FAILED)
    return job if halted and works_without_code(choice).exists() else None


def hashing_begin_owed() -> int:
    """Begin a job for each catalogue with pictures that have no code yet; return how many. Called every minute.

    What was cancelled waits to be chosen again. What stopped a job that failed may be mended later, and one that
    succeeded met all that was there then.
    """
    begun = 0
    waits = Q(job__state=JobState.CANCELLED)
    waits |= Q(job__state=JobState.FAILED, job__updated_at__gt=timezone.now() - AGAIN_AFTER)
    for choice in CatalogueHash.objects.filter(catalogue__deleted_at=None).exclude(waits).select_related("catalogue"):
        if works_without_code(choice).exists():
            with transaction.atomic():
                held = CatalogueHash.objects.select_for_update().filter(pk=choice.pk).first()
                begun += held is not None and _begin_hashing(held)
    return begun


def _begin_hashing(choice: CatalogueHash) -> bool:
    if choice.job is not None and not choice.job.is_final:
        return False
    choice.job = job_create(
        kind=HASHING,
        steps=[("hashing", gettext_lazy("Giving the pictures their codes"))],
        payload={"choice": choice.pk},
        organisation=choice.catalogue.organisation,
    )
    choice.save(update_fields=("job",))
    return True


def hashing_cancel(*, catalogue: Catalogue) -> None:
    """Stop giving a catalogue's pictures their codes.

    Raises:
        ProductError: that is not under way.
    """
    job = Job.objects.filter(pk__in=CatalogueHash.objects.filter(catalogue=catalogue).values("job")).first()
    if job is None:
        raise ProductError(ErrorCode.CONFLICT, _("No pictures are being given codes here."), status=409)
    job_cancel(job=job)


def hashing_run(*, choice_id: int, job: Job, progress: Progress) -> bool:
    """Give the next pictures their codes; return whether none is left.

    Raises:
        ProductError: the hash cannot be used.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    choice = CatalogueHash.objects.select_related("catalogue", "trained_model").filter(pk=choice_id).first()
    if choice is None or choice.catalogue.deleted_at:
        return True
    take_share_of_processors()
    with hash_errors(choice):
        hasher = chosen_hash(choice).hasher
        hasher.load()
    total = works_of(choice.catalogue).count()
    began = time.monotonic()
    while True:
        owed = works_without_code(choice)
        progress("hashing", max(0, total - owed.count()), total)
        works = list(owed.order_by("pk")[:BATCH])
        if not works:
            return True
        rows, lost, plain = [], [], []
        for work in works:
            # One at a time: decoded pictures may be large.
            pixels = pixels_of(work)
            if pixels is None:
                lost.append(str(work.pk))
            elif too_plain(pixels):
                plain.append(str(work.pk))
            else:
                (code,), (feature,) = hasher.encode([pixels])
                rows.append(code_row(work, choice.algorithm, code, feature))
            if time.monotonic() - began > SLICE_SECONDS:
                break
        with transaction.atomic():
            hold_claim(job=job)
            if CatalogueHash.objects.select_for_update().filter(pk=choice.pk).first() is None:
                # The catalogue uses another by now, and codes of this one would stay for good.
                return True
            there = set(Work.objects.filter(pk__in=[row.work_id for row in rows]).values_list("pk", flat=True))
            DeepCode.objects.bulk_create((row for row in rows if row.work_id in there), ignore_conflicts=True)
            if lost or plain:
                choice.unreadable, choice.plain = [*choice.unreadable, *lost], [*choice.plain, *plain]
                choice.save(update_fields=("unreadable", "plain"))
        if time.monotonic() - began > SLICE_SECONDS:
            return False


def pixels_of(work: Work) -> RGB | None:
    """Return a registered picture, uint8 ``[H, W, 3]`` sRGB; None where its file cannot be read any more."""
    limits = Limits(max_bytes=settings.UPLOAD_MAX_BYTES, max_pixels=settings.UPLOAD_MAX_PIXELS)
    try:
        with memory_limit(settings.WORKER_MEMORY_BYTES):
            return decode(files.read(Area.WORKS, work.sha256), limits).pixels
    except (DecodeError, FileNotFoundError):
        log.warning("a work could not be read: %s", work.pk)
        return None


def code_row(work: Work, algorithm: str, code: Packed, feature: Features) -> DeepCode:
    """Return the row of a picture's code, uint8 ``[bits / 8]``, and feature vector."""
    column = f"code{8 * len(code)}"
    return DeepCode(work=work, algorithm=algorithm, feature=HalfVector(feature), **{column: bits_of(code)})
