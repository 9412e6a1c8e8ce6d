"""What pulls the picture towards the prompt: embeddings of crops against those of the words."""

from __future__ import annotations

import torch
from torch import Tensor

from provenance.artwork.crops import Crops
from provenance.artwork.exact import exact_sum, square_root
from provenance.artwork.latent import Draws, prompt_text
from provenance.artwork.recipe import Mode, Recipe
from provenance.artwork.tiers import Models

_FAST_SHARE = 4


def direction(recipe: Recipe, prompt: str, models: Models) -> Tensor:
    """Return ``include * T+ - exclude * T-``, float32 ``[1, E]``: T+ of the prompt, T- of all exclusions as one text
    (NoiseHashGAN's loss, with the sign its code has)."""
    texts = [prompt_text(prompt)]
    if recipe.exclusions:
        texts.append(", ".join(recipe.exclusions))
    embedded = models.embed_texts(texts)
    wanted = embedded[:1] * recipe.include
    return wanted - embedded[1:] * recipe.exclude if recipe.exclusions else wanted


def noisy_crops(recipe: Recipe, run: bytes, iteration: int, pixels: Tensor, models: Models) -> Tensor:
    """Return the crops of one iteration, ``[K, 3, S, S]``, about 0 to 255, each with noise of its own strength.

    A fast draft looks at a quarter of the crops: most of the time goes into looking.
    """
    count, side = recipe.crops, models.crop_side
    if recipe.mode is Mode.FAST:
        count = -(-count // _FAST_SHARE)
    crops = Crops(run, iteration, count=count, side=recipe.side, crop_side=side).cut(pixels)
    strength = Draws(run, "noise-strength", iteration).uniform(count) * (255 * recipe.noise)
    noise = Draws(run, "noise", iteration).normal(count * 3 * side * side).reshape(count, side, side, 3)
    noise *= strength.astype("float32")[:, None, None, None]
    return crops + torch.from_numpy(noise).permute(0, 3, 1, 2)


def pull(embeddings: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss, ``-mean(cos)`` over the crops weighed as :func:`direction` says, and its gradient.

    Args:
        embeddings: ``[K, E]``.
        wanted: ``[1, E]``.

    Returns:
        A number ``[]`` and ``[K, E]``.
    """
    length = square_root(exact_sum(embeddings * embeddings, (1,)))
    unit = embeddings / length
    similar = exact_sum(unit * wanted, (1,))
    count = len(embeddings)
    loss = -exact_sum(similar.view(1, -1), (1,))[0, 0] / count
    return loss, (unit * similar - wanted) / (length * count)
