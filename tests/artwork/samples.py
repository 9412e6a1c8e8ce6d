"""A recipe and a record that no model is needed for."""

from __future__ import annotations

import numpy as np

from provenance.artwork.recipe import ALGORITHM, Mode, Recipe, Scheme, Tier
from provenance.artwork.record import Record

DIGEST = "0123456789abcdef" * 4


def recipe() -> Recipe:
    return Recipe(
        algorithm=ALGORITHM,
        scheme=Scheme.XOF,
        mode=Mode.CANONICAL,
        tier=Tier.SHIPPED,
        generator=("small-vqgan", DIGEST),
        guide=("text-image", DIGEST[::-1]),
        side=64,
        iterations=3,
        crops=4,
        noise=0.22,
        learning_rate=0.5,
        weight_decay=0.1,
        include=1.0,
        exclude=0.5,
        exclusions=("watermark", "schlechtes Wetter, trüb"),
        salt=DIGEST[:32],
        prompt_commitment=DIGEST,
        key_commitment=DIGEST[::-1],
        file_commitment=DIGEST,
    )


def record() -> Record:
    codes = np.arange(128, dtype=np.int64).reshape(2, 8, 8) * 7
    return Record(recipe(), codes, latent_sha256=DIGEST, pixel_sha256=DIGEST[::-1])
