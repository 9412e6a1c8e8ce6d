"""Files of trained models: their weights, and what a training keeps until it ends."""

from __future__ import annotations

import uuid
from enum import StrEnum
from pathlib import Path

from webapp import files
from webapp.deephash.models import TrainedModel
from webapp.files import Area
from webapp.jobs.models import FINAL_STATES

_DAY = 24 * 3600.0


class Part(StrEnum):
    """Which file of a model; all but the weights go when its training ends."""

    WEIGHTS = "weights"
    CHECKPOINT = "checkpoint"
    READING = "reading"
    LEVELS = "levels"


def key_of(model_id: uuid.UUID, part: Part) -> str:
    """Return the storage key in the area ``deephash``."""
    return f"{model_id.hex}-{part}.bin"


def path_of(model_id: uuid.UUID, part: Part) -> Path:
    """Return where a file of a model lies, with its folder made."""
    path = files.path_of(Area.DEEPHASH, key_of(model_id, part))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def delete_working_files(model_id: uuid.UUID) -> None:
    """Remove what a training kept."""
    for part in (Part.CHECKPOINT, Part.READING, Part.LEVELS):
        files.delete(Area.DEEPHASH, key_of(model_id, part))


def delete_files(model_id: uuid.UUID) -> None:
    """Remove all that is kept of a model."""
    for part in Part:
        files.delete(Area.DEEPHASH, key_of(model_id, part))


def sweep() -> None:
    """Remove the files of models that are not there any more, and of trainings that ended without one."""
    models = TrainedModel.objects.values_list("pk", flat=True)
    trained = {one.hex for one in models.exclude(trained_at=None)}
    learning = {one.hex for one in models.exclude(job__state__in=FINAL_STATES)}
    for key in files.keys_older_than(Area.DEEPHASH, _DAY):
        model, _, part = key.partition("-")
        if model not in learning and (model not in trained or not part.startswith(Part.WEIGHTS)):
            files.delete(Area.DEEPHASH, key)
    files.remove_unfinished(Area.DEEPHASH, _DAY)
