"""Training a deep hash on a catalogue's own pictures: a job that may be killed at any time, and goes on from its
checkpoint."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from dataclasses import asdict
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from provenance.hashing.autoencoders import grey
from provenance.hashing.deephash import too_plain
from provenance.training.deephash_pictures import LEAST_PICTURES, SIDE, CannotTrain, Rows, repeats, thumbnail
from webapp.accounts.models import ApiKey, User
from webapp.accounts.services import audit
from webapp.catalogues.models import Catalogue
from webapp.deephash import services
from webapp.deephash.models import TrainedModel
from webapp.deephash.storage import Part, delete_working_files, path_of
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.models import FINAL_STATES, Job
from webapp.jobs.processors import take_share_of_processors
from webapp.jobs.services import Progress, hold_claim, job_create

TRAINING = "deephash_train"
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
# Of one core, about: a picture to open, a step of each kind, a picture to measure thresholds by.
_READING_SECONDS, _MEASURING_SECONDS = 0.03, 0.005
_STEP_SECONDS = {"ae": 0.13, "res-ae": 0.1, "con-vae": 0.17, "vte": 0.36}


def training_begin(
    *, catalogue: Catalogue, kind: str, bits: int, actor: User | None, api_key: ApiKey | None = None
) -> TrainedModel:
    """Train a hash on a catalogue's pictures; when it is done, the catalogue uses it.

    Raises:
        ProductError: it is private or has too few pictures, one is being trained on it, or its organisation has models
            enough.
        ValidationError: there is no such kind or length.
    """
    services.require_clear(catalogue)
    count = services.works_of(catalogue).count()
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
        services.lock_models(organisation.pk)
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
    from provenance.training.deephash import BATCH as LEARNT_AT_ONCE
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
    epochs = max(1, round(STEPS / max(1, len(learnt) // LEARNT_AT_ONCE)))
    began = time.monotonic()

    def go_on(done: int, total: int) -> bool:
        psnr = f"{trainer.history[-1].tune_psnr:.1f} dB" if trainer.history else ""
        progress("learning", done, total, psnr)
        return time.monotonic() - began < SLICE_SECONDS

    try:
        trainer = Trainer(
            Architecture(model.kind, model.bits, levels.shape[1], SCALE),
            levels,
            train=learnt,
            tune=held_out,
            epochs=epochs,
            checkpoint=path_of(model.pk, Part.CHECKPOINT),
        )
        progress("learning", trainer.step, trainer.steps)
        finished = trainer.run(go_on)
    except CannotTrain as problem:
        message = f"{problem} {_not_counted(model.catalogue, len(levels))}".strip()
        delete_working_files(model.pk)
        raise ProductError(ErrorCode.INVALID, message) from problem
    if not finished:
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
        progress.check()
        # Before the organisation, as imports do.
        catalogue = Catalogue.objects.select_for_update(no_key=True).filter(pk=model.catalogue.pk).first()
        if catalogue is None or catalogue.deleted_at is not None:
            raise ProductError(ErrorCode.GONE, _("The catalogue has been deleted."), status=410)
        services.lock_models(catalogue.organisation_id)
        model.save(update_fields=("curve", "history", "pictures", "held_out", "trained_at"))
        services.set_choice(catalogue, model.algorithm, model)
    delete_working_files(model.pk)
    return True


def _not_counted(catalogue: Catalogue, used: int) -> str:
    """Say how many of a catalogue's pictures are not among those that were ``used``, and why; empty for none."""
    count = min(services.works_of(catalogue).count(), MOST_LEARNT) - used
    if count <= 0:
        return ""
    return ngettext(
        "%(n)d picture of the catalogue does not count: it is too simple, cannot be read, or is the same as another.",
        "%(n)d pictures of the catalogue do not count: they are too simple, cannot be read, or are the same as others.",
        count,
    ) % {"n": count}


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
    if not part.exists():
        model.read_to = None
    works = services.works_of(model.catalogue)
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
            pixels = services.pixels_of(work)
            if pixels is not None and not too_plain(pixels):
                digest = _digest(square := grey(pixels, SIDE).tobytes())
                if digest not in seen:
                    file.write(square)
                    seen.add(digest)
            if time.monotonic() - began > SLICE_SECONDS:
                _put_on_disk(file)
                TrainedModel.objects.filter(pk=model.pk).update(read_to=work.pk)
                return False
        _put_on_disk(file)
    part.rename(path_of(model.pk, Part.LEVELS))
    return True


def _put_on_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


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
