"""Choosing a catalogue's deep hash, training one on its pictures, and giving its pictures their codes.

Each is a job that may be killed at any time: training goes on from its checkpoint, hashing from the codes that are
there.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pgvector import HalfVector

from provenance.hashing.autoencoders import Features, Packed, grey
from provenance.images.decode import DecodeError, Limits, decode, memory_limit
from webapp import files
from webapp.accounts.models import User
from webapp.accounts.services import audit
from webapp.catalogues.models import Catalogue
from webapp.deephash.hashes import chosen_hash, shipped_hash
from webapp.deephash.models import CatalogueHash, DeepCode, TrainedModel
from webapp.deephash.search import bits_of
from webapp.deephash.storage import Part, delete_working_files, path_of
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.processors import take_share_of_processors
from webapp.jobs.services import Progress, hold_claim, job_create
from webapp.registry.models import Work

log = logging.getLogger(__name__)

RGB = npt.NDArray[np.uint8]

TRAINING, HASHING = "deephash_train", "deephash_hash"
SLICE_SECONDS = 20.0
BATCH = 32
# Of training, in all: some minutes of one core, whatever the catalogue's size.
STEPS = 1500
SCALE = 0.375
# Of pairs of different pictures, from which thresholds are read.
_MOST_COMPARED = 1500
AGAIN_AFTER = timedelta(hours=1)


def works_of(catalogue: Catalogue) -> QuerySet[Work]:
    """Return a catalogue's live works."""
    return Work.objects.live().filter(catalogue_item__catalogue=catalogue)


# --- Choosing ---


@transaction.atomic
def hash_choose(*, catalogue: Catalogue, algorithm: str, actor: User) -> None:
    """Let a catalogue use a deep hash, or none; its pictures get their codes by a job.

    Args:
        algorithm: of a shipped hash or of one that was trained in this organisation; empty for none.

    Raises:
        ProductError: there is no such hash.
    """
    model = None
    if algorithm:
        model = next((one for one in models_of(catalogue) if one.algorithm == algorithm), None)
        if model is None:
            try:
                shipped_hash(algorithm)
            except KeyError:
                raise ProductError(ErrorCode.INVALID, _("There is no such hash. Choose one of the list.")) from None
    audit(
        verb="catalogue.hash_chosen",
        obj=catalogue,
        actor=actor,
        organisation=catalogue.organisation,
        data={"algorithm": algorithm},
    )
    _set_choice(catalogue, algorithm, model)


def models_of(catalogue: Catalogue) -> QuerySet[TrainedModel]:
    """Return the models that were trained in the catalogue's organisation, newest first."""
    return (
        TrainedModel.objects.filter(catalogue__organisation=catalogue.organisation_id, catalogue__deleted_at=None)
        .exclude(trained_at=None)
        .select_related("catalogue")
    )


def _set_choice(catalogue: Catalogue, algorithm: str, model: TrainedModel | None) -> None:
    before = CatalogueHash.objects.select_for_update().filter(catalogue=catalogue).first()
    if before is not None and before.algorithm != algorithm:
        DeepCode.objects.filter(work__catalogue_item__catalogue=catalogue, algorithm=before.algorithm).delete()
        before.delete()
        before = None
    if algorithm and before is None:
        choice = CatalogueHash.objects.create(catalogue=catalogue, algorithm=algorithm, trained_model=model)
        _begin_hashing(choice)


# --- Giving pictures their codes ---


def works_without_code(choice: CatalogueHash) -> QuerySet[Work]:
    """Return the catalogue's works that have no code of its hash yet, those that cannot be read left out."""
    coded = DeepCode.objects.filter(algorithm=choice.algorithm).values("work")
    return works_of(choice.catalogue).exclude(pk__in=coded).exclude(pk__in=choice.unreadable)


def hashing_begin_owed() -> int:
    """Begin a job for each catalogue with pictures that have no code yet; return how many. Called every minute."""
    begun = 0
    for choice in CatalogueHash.objects.filter(catalogue__deleted_at=None).select_related("catalogue", "job"):
        if works_without_code(choice).exists():
            with transaction.atomic():
                held = CatalogueHash.objects.select_for_update().filter(pk=choice.pk).first()
                begun += held is not None and _begin_hashing(held)
    return begun


def _begin_hashing(choice: CatalogueHash) -> bool:
    job = choice.job
    if job is not None:
        # What stopped one that failed may be mended later; one that succeeded met all that was there then.
        lately = bool(job.error_code) and job.updated_at > timezone.now() - AGAIN_AFTER
        if job.state not in FINAL_STATES or lately:
            return False
    choice.job = job_create(
        kind=HASHING,
        steps=[("hashing", gettext_lazy("Giving the pictures their codes"))],
        payload={"choice": choice.pk},
        organisation=choice.catalogue.organisation,
    )
    choice.save(update_fields=("job",))
    return True


def hashing_run(*, choice_id: int, job: Job, progress: Progress) -> bool:
    """Give the next pictures their codes; return whether none is left.

    Raises:
        ProductError: the hash cannot be used.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    from provenance.models.errors import ModelError

    choice = CatalogueHash.objects.select_related("catalogue", "trained_model").filter(pk=choice_id).first()
    if choice is None or choice.catalogue.deleted_at:
        return True
    take_share_of_processors()
    try:
        hasher = chosen_hash(choice).hasher
        hasher.load()
    except (ModelError, KeyError, OSError, ValueError) as error:
        log.exception("a deep hash could not be loaded")
        raise ProductError(
            ErrorCode.GENERATOR_UNAVAILABLE,
            _("The model of the hash %(name)s is not here or damaged. Train or choose another.")
            % {"name": choice.algorithm},
            status=503,
        ) from error
    total = works_of(choice.catalogue).count()
    began = time.monotonic()
    while True:
        owed = works_without_code(choice)
        progress("hashing", max(0, total - owed.count()), total)
        works = list(owed.order_by("pk")[:BATCH])
        if not works:
            return True
        pictures = [pixels_of(work) for work in works]
        read = [(work, pixels) for work, pixels in zip(works, pictures, strict=True) if pixels is not None]
        if read:
            codes, features = hasher.encode([pixels for _work, pixels in read])
            rows = code_rows([work for work, _pixels in read], choice.algorithm, codes, features)
        else:
            rows = []
        with transaction.atomic():
            hold_claim(job=job)
            there = set(Work.objects.filter(pk__in=[row.work_id for row in rows]).values_list("pk", flat=True))
            DeepCode.objects.bulk_create((row for row in rows if row.work_id in there), ignore_conflicts=True)
            lost = [str(work.pk) for work, pixels in zip(works, pictures, strict=True) if pixels is None]
            if lost:
                choice.unreadable = [*choice.unreadable, *lost]
                choice.save(update_fields=("unreadable",))
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


def code_rows(works: Sequence[Work], algorithm: str, codes: Packed, features: Features) -> list[DeepCode]:
    """Return the rows of pictures' codes, uint8 ``[N, bits / 8]``, and feature vectors, float ``[N, bits]``."""
    column = f"code{8 * codes.shape[1]}"
    return [
        DeepCode(work=work, algorithm=algorithm, feature=HalfVector(feature), **{column: bits_of(code)})
        for work, code, feature in zip(works, codes, features, strict=True)
    ]


# --- Training ---


def training_begin(*, catalogue: Catalogue, kind: str, bits: int, actor: User) -> TrainedModel:
    """Train a hash on a catalogue's pictures; when it is done, the catalogue uses it.

    Raises:
        ProductError: it has too few pictures, or one is being trained on it.
        ValidationError: there is no such kind or length.
    """
    from provenance.training.deephash import LEAST_PICTURES

    count = works_of(catalogue).count()
    if count < LEAST_PICTURES:
        raise ProductError(
            ErrorCode.INVALID,
            _("This catalogue has %(count)d pictures; a hash needs at least %(least)d different ones to learn from.")
            % {"count": count, "least": LEAST_PICTURES},
        )
    model = TrainedModel(catalogue=catalogue, kind=kind, bits=bits, started_by=actor)
    model.clean_fields(exclude={"catalogue", "job", "started_by"})
    with transaction.atomic():
        Catalogue.objects.select_for_update(no_key=True).get(pk=catalogue.pk)
        if training_now(catalogue) is not None:
            message = _("A hash is being trained on this catalogue. Wait for it or cancel it.")
            raise ProductError(ErrorCode.CONFLICT, message, status=409)
        model.job = job_create(
            kind=TRAINING,
            steps=[
                ("reading", gettext_lazy("Reading the pictures")),
                ("learning", gettext_lazy("Learning")),
                ("measuring", gettext_lazy("Measuring thresholds")),
            ],
            payload={"model": str(model.pk), "weights": {"reading": 0.1, "measuring": 0.02}},
            owner=actor,
            organisation=catalogue.organisation,
        )
        model.save(force_insert=True)
        audit(
            verb="catalogue.hash_training_begun",
            obj=catalogue,
            actor=actor,
            organisation=catalogue.organisation,
            data={"kind": kind, "bits": bits, "pictures": count},
        )
    return model


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
    from provenance.training.deephash import CannotTrain, Trainer, save_weights

    model = TrainedModel.objects.select_related("catalogue__organisation").get(pk=model_id)
    if model.trained_at is not None:
        return True
    take_share_of_processors()
    levels = _levels(model, progress)
    count = len(levels)
    epochs = max(1, round(STEPS / max(1, count // 32)))
    try:
        trainer = Trainer(
            Architecture(model.kind, model.bits, levels.shape[1], SCALE),
            levels,
            train=np.arange(count),
            tune=np.empty(0, np.int64),
            epochs=epochs,
            checkpoint=path_of(model.pk, Part.CHECKPOINT),
        )
    except CannotTrain as problem:
        delete_working_files(model.pk)
        raise ProductError(ErrorCode.INVALID, str(problem)) from problem
    began = time.monotonic()

    def go_on(done: int, total: int) -> bool:
        psnr = f"{trainer.history[-1].train_psnr:.1f} dB" if trainer.history else ""
        progress("learning", done, total, psnr)
        return time.monotonic() - began < SLICE_SECONDS

    progress("learning", trainer.step, trainer.steps)
    if not trainer.run(go_on):
        return False
    progress("measuring")
    net = trainer.finish()
    save_weights(net, path_of(model.pk, Part.WEIGHTS))
    model.curve = _curve(model, levels)
    model.history = json.loads(json.dumps([asdict(row) for row in trainer.history]).replace("NaN", "null"))
    model.pictures, model.trained_at = count, timezone.now()
    with transaction.atomic():
        hold_claim(job=job)
        model.save(update_fields=("curve", "history", "pictures", "trained_at"))
        catalogue = Catalogue.objects.select_for_update(no_key=True).get(pk=model.catalogue_id)
        if catalogue.deleted_at is None:
            _set_choice(catalogue, model.algorithm, model)
    delete_working_files(model.pk)
    return True


def _levels(model: TrainedModel, progress: Progress) -> npt.NDArray[np.uint8]:
    """Return the catalogue's pictures as grey levels ``[N, 128, 128]``, no two the same, read once and kept."""
    from provenance.training.deephash_pictures import SIDE

    file = path_of(model.pk, Part.LEVELS)
    if not file.exists():
        works = list(works_of(model.catalogue).order_by("pk").only("pk", "sha256"))
        found = np.empty((len(works), SIDE, SIDE), np.uint8)
        seen: set[bytes] = set()
        for done, work in enumerate(works):
            progress("reading", done, len(works))
            pixels = pixels_of(work)
            if pixels is None:
                continue
            square = grey(pixels, SIDE)
            if square.tobytes() not in seen:
                found[len(seen)] = square
                seen.add(square.tobytes())
        buffer = BytesIO()
        np.save(buffer, found[: len(seen)])
        files.write(Area.DEEPHASH, file.name, buffer.getvalue(), durable=False)
    levels: npt.NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return levels


def _curve(model: TrainedModel, levels: npt.NDArray[np.uint8]) -> list[Any]:
    """Count the pairs of different pictures at each distance, of some of the catalogue."""
    from provenance.hashing.autoencoders import AutoencoderHash
    from provenance.models.autoencoder_nets import load_autoencoder

    hasher = AutoencoderHash(model.algorithm, model.bits, lambda: load_autoencoder(path_of(model.pk, Part.WEIGHTS)))
    chosen = np.linspace(0, len(levels) - 1, min(_MOST_COMPARED, len(levels))).astype(int)
    words = np.ascontiguousarray(hasher.encode_grey(levels[chosen])[0]).view(np.uint64)
    counts = np.zeros(model.bits + 1, np.int64)
    for row in range(len(words) - 1):
        apart = np.bitwise_count(words[row + 1 :] ^ words[row]).sum(1)
        counts += np.bincount(apart, minlength=len(counts))
    return [int(count) for count in counts]
