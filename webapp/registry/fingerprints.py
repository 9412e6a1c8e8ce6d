"""Every hash and the descriptors of a picture, as it is registered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from provenance.hashing.code import Fingerprint
from provenance.hashing.descriptor import DESCRIPTOR, Vectors
from provenance.hashing.hasher import HASHERS, RETIRED, Hasher
from webapp.jobs.processors import take_share_of_processors
from webapp.registry.models import Fingerprint as FingerprintRow
from webapp.registry.models import Rehash


def hashers_load() -> None:
    """Load what the algorithms need: to be called before memory is limited, and before threads share the work.

    Raises:
        provenance.models.errors.ModelMissing: weights are not here.
    """
    take_share_of_processors()
    for hasher in HASHERS.values():
        hasher.load()
    DESCRIPTOR.load()


def hashers_searched() -> dict[str, Hasher]:
    """Return the algorithms that a query is hashed by: those of today, and before them each earlier one that works have
    codes of while the job that hashes them anew is not done, or could not read some. Two short queries for each earlier
    one. What is too simple for today's algorithm is no longer found by an earlier one."""
    owed = {
        algorithm: retired.hasher
        for algorithm, retired in RETIRED.items()
        if not Rehash.objects.filter(algorithm=retired.successor, unreadable=0).exclude(finished_at=None).exists()
        and FingerprintRow.objects.filter(algorithm=algorithm).exists()
    }
    return {**owed, **HASHERS}


def fingerprints_of(pixels: npt.NDArray[np.uint8]) -> list[Fingerprint]:
    """Return a picture's fingerprint under every algorithm, uint8 RGB ``[H, W, 3]``."""
    return [hasher.hash([pixels])[0] for hasher in HASHERS.values()]


def descriptors_of(pixels: npt.NDArray[np.uint8]) -> Vectors | None:
    """Return what is registered of a picture's descriptors, float32 ``[crops, 256]``; None for one too simple."""
    return DESCRIPTOR.describe_crops(pixels)
