"""Choosing a catalogue's deep hash, training one on its pictures, and giving its pictures their codes.

Each is a job that may be killed at any time: training goes on from its checkpoint, hashing from the codes that are
there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
import uuid
from dataclasses import asdict, dataclass
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

from provenance.hashing.autoencoders import Features, Packed, grey
from provenance.hashing.deephash import DEEP_HASHES, too_plain
from provenance.images.decode import DecodeError, Limits, decode, memory_limit
from provenance.training.deephash_pictures import LEAST_PICTURES, SIDE, CannotTrain, Rows, repeats, thumbnail
from webapp import files
from webapp.accounts.models import ApiKey, Organisation, User
from webapp.accounts.services import audit
from webapp.catalogues.models import Catalogue
from webapp.deephash.hashes import chosen_hash, hash_errors
from webapp.deephash.models import CatalogueHash, DeepCode, TrainedModel
from webapp.deephash.search import bits_of
from webapp.deephash.storage import Part, delete_files, delete_working_files, path_of
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
TRAINING, HASHING = "deephash_train", "deephash_hash"
SLICE_SECONDS = 20.0
BATCH = 32
# Of training, in all: some minutes of one core, whatever the catalogue's size.
STEPS = 1500
SCALE = 0.375
# Pictures: so many are learnt from once each.
MOST_LEARNT = 48_000
# Of an organisation, those in training with them.
MOST_MODELS = 10
# One picture of so many is not learnt from.
HELD_OUT = 10
# Pictures that are held out and pictures that are learnt from, of whose pairs thresholds are read.
_MOST_ASKED, _MOST_COMPARED = 750, 1500
AGAIN_AFTER = timedelta(hours=1)
# Of one core, about: a picture to open, a step of each kind, a picture to measure thresholds by.
_READING_SECONDS, _MEASURING_SECONDS = 0.03, 0.005
_STEP_SECONDS = {"ae": 0.13, "res-ae": 0.1, "con-vae": 0.17, "vte": 0.36}


def works_of(catalogue: Catalogue) -> QuerySet[Work]:
    """Return a catalogue's live works."""
    return Work.objects.live().filter(catalogue_item__catalogue=catalogue)


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
        ProductError: there is no such hash.
    """
    _lock(catalogue.organisation_id)
    chosen = next((one for one in choices_of(catalogue) if one.algorithm == algorithm), None)
    if algorithm and chosen is None:
        message = _("There is no such hash. Choose one of the list.")
        raise ProductError(ErrorCode.INVALID, message, fields={"algorithm": [message]})
    _record_choice(catalogue, algorithm, actor, api_key)
    _set_choice(catalogue, algorithm, chosen.model if chosen else None)


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


def _lock(organisation_id: uuid.UUID) -> None:
    """Let models and choices of an organisation change one at a time, until this transaction ends."""
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation_id)


def _set_choice(catalogue: Catalogue, algorithm: str, model: TrainedModel | None) -> None:
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
    _lock(model.organisation_id)
    if not Job.objects.filter(pk=model.job_id, state__in=FINAL_STATES).exists():
        raise ProductError(ErrorCode.CONFLICT, _("This hash is being trained. Cancel the training first."), status=409)
    for use in model.uses.select_related("catalogue"):
        _record_choice(use.catalogue, "", actor, api_key)
        _set_choice(use.catalogue, "", None)
    _delete(model, actor, api_key)


def models_forget() -> int:
    """Delete the models of purged catalogues that no other uses; return how many. Called every minute."""
    forgotten = 0
    for model in TrainedModel.objects.filter(catalogue=None, uses=None):
        with transaction.atomic():
            _lock(model.organisation_id)
            if not model.uses.exists():
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


# --- Training ---


def training_begin(
    *, catalogue: Catalogue, kind: str, bits: int, actor: User | None, api_key: ApiKey | None = None
) -> TrainedModel:
    """Train a hash on a catalogue's pictures; when it is done, the catalogue uses it.

    Raises:
        ProductError: it has too few pictures, one is being trained on it, or its organisation has models enough.
        ValidationError: there is no such kind or length.
    """
    count = works_of(catalogue).count()
    if count < LEAST_PICTURES:
        raise ProductError(
            ErrorCode.INVALID,
            _("This catalogue has %(count)d pictures; a hash needs at least %(least)d different ones.")
            % {"count": count, "least": LEAST_PICTURES},
        )
    organisation = catalogue.organisation
    model = TrainedModel(organisation=organisation, catalogue=catalogue, kind=kind, bits=bits, started_by=actor)
    model.clean_fields(exclude={"organisation", "catalogue", "job", "started_by"})
    with transaction.atomic():
        _lock(organisation.pk)
        if training_now(catalogue) is not None:
            message = _("A hash is being trained on this catalogue. Wait for it or cancel it.")
            raise ProductError(ErrorCode.CONFLICT, message, status=409)
        ended = Q(trained_at=None, job__state__in=FINAL_STATES)
        if TrainedModel.objects.filter(organisation=organisation).exclude(ended).count() >= MOST_MODELS:
            raise ProductError(
                ErrorCode.QUOTA_EXCEEDED,
                _("Your organisation has %(most)d trained hashes, the most it may have. Delete one you do not need.")
                % {"most": MOST_MODELS},
                status=409,
            )
        model.job = job_create(
            kind=TRAINING,
            steps=[
                ("reading", gettext_lazy("Reading the pictures")),
                ("learning", gettext_lazy("Learning")),
                ("measuring", gettext_lazy("Measuring thresholds")),
            ],
            payload={"model": str(model.pk), "weights": _expected_seconds(kind, min(count, MOST_LEARNT))},
            owner=actor,
            organisation=organisation,
        )
        model.save(force_insert=True)
        audit(
            verb="catalogue.hash_training_begun",
            obj=catalogue,
            actor=actor,
            api_key=api_key,
            organisation=organisation,
            data={"kind": kind, "bits": bits, "pictures": count},
        )
    return model


def _expected_seconds(kind: str, count: int) -> dict[str, float]:
    """Return what each step of a training takes one core, by which the time that is left is told."""
    return {
        "reading": count * _READING_SECONDS,
        "learning": STEPS * _STEP_SECONDS[kind],
        "measuring": 2 + count * _MEASURING_SECONDS,
    }


def training_now(catalogue: Catalogue) -> TrainedModel | None:
    """Return the training on this catalogue that has not ended."""
    return catalogue.trained_models.exclude(job__state__in=FINAL_STATES).select_related("job").first()


def training_run(*, model_id: uuid.UUID | str, job: Job, progress: Progress) -> bool:
    """Do the next slice of a training; return whether it is finished.

    Raises:
        ProductError: the pictures teach nothing, with the reason.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    from provenance.models.autoencoder_nets import Architecture
    from provenance.training.deephash import Trainer, save_weights

    model = TrainedModel.objects.select_related("catalogue").filter(pk=model_id).first()
    if model is None or model.catalogue is None or model.catalogue.deleted_at is not None:
        raise ProductError(ErrorCode.GONE, _("The catalogue has been deleted."), status=410)
    if model.trained_at is not None:
        return True
    take_share_of_processors()
    levels = _levels(model, progress)
    if levels is None:
        return False
    # They lie in random order.
    held_out = np.arange(0, len(levels), HELD_OUT)
    learnt = np.delete(np.arange(len(levels)), held_out)
    epochs = max(1, round(STEPS / max(1, len(learnt) // 32)))
    try:
        trainer = Trainer(
            Architecture(model.kind, model.bits, levels.shape[1], SCALE),
            levels,
            train=learnt,
            tune=held_out,
            epochs=epochs,
            checkpoint=path_of(model.pk, Part.CHECKPOINT),
        )
    except CannotTrain as problem:
        delete_working_files(model.pk)
        raise ProductError(ErrorCode.INVALID, str(problem)) from problem
    began = time.monotonic()

    def go_on(done: int, total: int) -> bool:
        psnr = f"{trainer.history[-1].tune_psnr:.1f} dB" if trainer.history else ""
        progress("learning", done, total, psnr)
        return time.monotonic() - began < SLICE_SECONDS

    progress("learning", trainer.step, trainer.steps)
    if not trainer.run(go_on):
        return False
    progress("measuring")
    net = trainer.finish()
    save_weights(net, path_of(model.pk, Part.WEIGHTS))
    model.curve = _curve(model, levels, held_out, learnt)
    if not any(model.curve):
        message = _("The pictures of this catalogue repeat each other too often for thresholds to be measured on them.")
        raise ProductError(ErrorCode.INVALID, message)
    model.history = [asdict(row) for row in trainer.history]
    model.pictures, model.held_out, model.trained_at = len(learnt), len(held_out), timezone.now()
    with transaction.atomic():
        hold_claim(job=job)
        # Before the organisation, as imports do.
        catalogue = Catalogue.objects.select_for_update(no_key=True).filter(pk=model.catalogue.pk).first()
        if catalogue is None or catalogue.deleted_at is not None:
            raise ProductError(ErrorCode.GONE, _("The catalogue has been deleted."), status=410)
        _lock(catalogue.organisation_id)
        model.save(update_fields=("curve", "history", "pictures", "held_out", "trained_at"))
        _set_choice(catalogue, model.algorithm, model)
    delete_working_files(model.pk)
    return True


def _levels(model: TrainedModel, progress: Progress) -> npt.NDArray[np.uint8] | None:
    """Return the catalogue's pictures as grey levels ``[N, 128, 128]``, no two the same and none too plain, mapped from
    a file; None where some must still be read."""
    file = path_of(model.pk, Part.LEVELS)
    if not file.exists() and not _read_levels(model, progress):
        return None
    shape = (-1, SIDE, SIDE)
    return np.memmap(file, np.uint8, "r").reshape(shape) if file.stat().st_size else np.empty((0, SIDE, SIDE), np.uint8)


def _read_levels(model: TrainedModel, progress: Progress) -> bool:
    """Add the next pictures' levels to the file; return whether all are there, which are a random sample of large
    catalogues. One that is killed reads again what it has read since its last slice."""
    part = path_of(model.pk, Part.READING)
    assert model.catalogue is not None
    works = works_of(model.catalogue)
    total = min(works.count(), MOST_LEARNT)
    began = time.monotonic()
    with part.open("a+b") as file:
        file.seek(0)
        seen = set()
        while len(square := file.read(SIDE * SIDE)) == SIDE * SIDE:
            seen.add(_digest(square))
        file.truncate(file.tell() - len(square))
        # Ids are random, and so are the first of them.
        owed = works.filter(pk__gt=model.read_to) if model.read_to else works
        for work in owed.order_by("pk").only("pk", "sha256").iterator(chunk_size=BATCH):
            if len(seen) >= MOST_LEARNT:
                break
            progress("reading", len(seen), total)
            pixels = pixels_of(work)
            if pixels is not None and not too_plain(pixels):
                digest = _digest(square := grey(pixels, SIDE).tobytes())
                if digest not in seen:
                    file.write(square)
                    seen.add(digest)
            if time.monotonic() - began > SLICE_SECONDS:
                file.flush()
                os.fsync(file.fileno())
                TrainedModel.objects.filter(pk=model.pk).update(read_to=work.pk)
                return False
    part.rename(path_of(model.pk, Part.LEVELS))
    return True


def _digest(square: bytes) -> bytes:
    return hashlib.sha256(square).digest()


def _curve(model: TrainedModel, levels: npt.NDArray[np.uint8], held_out: Rows, learnt: Rows) -> list[int]:
    """Count the pairs of a picture that was held out and one that was learnt from at each distance, as a query is
    compared with the registered; one picture again is none."""
    from provenance.hashing.autoencoders import AutoencoderHash
    from provenance.models.autoencoder_nets import load_autoencoder

    hasher = AutoencoderHash(model.algorithm, model.bits, lambda: load_autoencoder(path_of(model.pk, Part.WEIGHTS)))

    def seen(rows: Rows, most: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]:
        squares = levels[rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]]
        words = np.ascontiguousarray(hasher.encode_grey(squares)[0]).view(np.uint64)
        return words, np.stack([thumbnail(square) for square in squares])

    registered, others = seen(learnt, _MOST_COMPARED)
    counts = np.zeros(model.bits + 1, np.int64)
    for code, small in zip(*seen(held_out, _MOST_ASKED), strict=True):
        apart = np.bitwise_count(registered ^ code).sum(1)
        counts += np.bincount(apart[~repeats(small, others)], minlength=len(counts))
    return [int(count) for count in counts]
