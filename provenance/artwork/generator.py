"""The loop that makes an artwork: VQGAN+CLIP from a latent that the signature decides.

As in NoiseHashGAN: AdamW on the latent, crops under noise, an including and an excluding text. Unlike it, the latent is
looked up in the codebook in every iteration (straight-through gradient), so that the finished work is a grid of codes,
whole numbers that anyone can decode again in a second.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from provenance.artwork import paper_v1, tiers
from provenance.artwork.exact import square_root
from provenance.artwork.guidance import direction, noisy_crops, pull
from provenance.artwork.latent import first_codes, prompt_key, run_key
from provenance.artwork.recipe import Recipe, Scheme, check_prompt

RGB = npt.NDArray[np.uint8]
# The first latent is this many times its codes, so that the first steps do not outshout the signature.
_START = 4.0
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
# Of a checkpoint, after its seal: iteration, the two powers, the latent's shape.
_HEAD = struct.Struct("<Qdd4Q")
_SEAL_BYTES = 32


@dataclass(frozen=True)
class Artwork:
    """A finished work.

    Attributes:
        pixels: uint8 RGB ``[side, side, 3]``.
        codes: int64 ``[books, h, w]``: pixels are decoded from these alone.
        latent_sha256: of the last latent, float32, little-endian, ``[C, h, w]``.
        seconds: of this run, from its checkpoint if it had one.
    """

    pixels: RGB
    codes: npt.NDArray[np.int64]
    latent_sha256: str
    iterations: int
    seconds: float

    @property
    def pixel_sha256(self) -> str:
        """SHA-256 of the samples in raster order, 64 hex digits."""
        return hashlib.sha256(np.ascontiguousarray(self.pixels).tobytes()).hexdigest()


@dataclass(frozen=True)
class Iteration:
    """Where a run stands after an iteration.

    Attributes:
        number: 1 to total.
        loss: -1.5 to 1.5, lower is nearer to the words.
        checkpoint: everything a later run needs to go on, as bytes; derived from the secrets, so keep it as such.
        preview: the picture as it is now, uint8 RGB ``[side, side, 3]``.
    """

    number: int
    total: int
    loss: float
    checkpoint: Callable[[], bytes]
    preview: Callable[[], RGB]


class CheckpointError(ValueError):
    """The checkpoint is damaged, or another recipe's or other secrets'."""


def generate(
    recipe: Recipe,
    prompt: str,
    key: bytes,
    *,
    on_iteration: Callable[[Iteration], None] | None = None,
    checkpoint: bytes | None = None,
) -> Artwork:
    """Make the work. The two secrets need not fit the recipe's commitments: with others another work comes out.

    Args:
        key: 32 bytes, :meth:`provenance.artwork.recipe.Recipe.key_of` the signature.
        on_iteration: called after every iteration; whatever it raises ends the run.
        checkpoint: what an earlier run of the same recipe and secrets left; the result is the same.

    Raises:
        RecipeError: the prompt is empty or too long.
        ModelMissing, WrongModel: a model is not here, or another one than the recipe's.
        NotExact: canonical arithmetic is not to be had on this machine.
        CheckpointError: the checkpoint is damaged, or another recipe's or other secrets'.
    """
    check_prompt(prompt)
    started = time.monotonic()
    models = tiers.load_for(recipe)
    run = run_key(key=key, prompt=prompt, recipe_digest=recipe.digest)
    wanted = direction(recipe, prompt, models)
    state = _State.start(recipe, key, run, models) if checkpoint is None else _State.read(checkpoint, run)
    # The published loop seeds its crops with a constant: there the signature decides the first latent and no more.
    draws = run if recipe.scheme is Scheme.XOF else prompt_key(prompt)
    while state.iteration < recipe.iterations:
        loss = _step(recipe, draws, state, wanted, models)
        if on_iteration is not None:
            on_iteration(
                Iteration(
                    number=state.iteration,
                    total=recipe.iterations,
                    loss=loss,
                    checkpoint=lambda: state.to_bytes(run),
                    preview=lambda: _pixels(models.nearest(state.latent), models),
                )
            )
    codes = models.nearest(state.latent)
    latent = np.ascontiguousarray(state.latent.numpy()[0], "<f4")
    return Artwork(
        pixels=_pixels(codes, models),
        codes=codes.numpy(),
        latent_sha256=hashlib.sha256(latent.tobytes()).hexdigest(),
        iterations=recipe.iterations,
        seconds=time.monotonic() - started,
    )


def decode_codes(recipe: Recipe, codes: npt.NDArray[np.int64]) -> RGB:
    """Decode a work's codes again: uint8 RGB ``[side, side, 3]``.

    Raises:
        ModelMissing, WrongModel, NotExact: as :func:`generate` does.
        ValueError: the codes are not a grid of this recipe.
    """
    models = tiers.load_for(recipe)
    places = recipe.side // models.stride
    if codes.shape != (models.books, places, places) or not (codes.min() >= 0 and codes.max() < models.codes):
        raise ValueError("these codes are not a grid of this recipe")
    return _pixels(torch.from_numpy(codes), models)


@torch.no_grad()
def _pixels(codes: Tensor, models: tiers.Models) -> RGB:
    pixels = _Rounded.apply(models.decode(models.look_up(codes)))  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[0].permute(1, 2, 0).to(torch.uint8).numpy())


class _Rounded(torch.autograd.Function):
    """Pixels of -1 to 1 to whole numbers 0 to 255; the gradient passes where it leads back into the range."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor) -> Tensor:
        ctx.save_for_backward(pixels)
        return ((pixels + 1) * 127.5).round_().clamp_(0, 255)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (pixels,) = ctx.saved_tensors
        inwards = (pixels.abs() <= 1) | (gradients[0] * pixels > 0)
        result: Tensor = gradients[0] * 127.5 * inwards
        return result


@dataclass
class _State:
    """The latent, AdamW's two moments of it and the powers of its decay rates; float32 ``[1, C, h, w]``."""

    iteration: int
    latent: Tensor
    first: Tensor
    second: Tensor
    power1: float
    power2: float

    @classmethod
    def start(cls, recipe: Recipe, key: bytes, run: bytes, models: tiers.Models) -> _State:
        places = recipe.side // models.stride
        codes = torch.from_numpy(first_codes(run, books=models.books, codes=models.codes, height=places, width=places))
        latent = models.look_up(codes).contiguous() * _START
        if recipe.scheme is Scheme.PAPER:
            signature = paper_v1.signature_image(key.decode(), recipe.side, recipe.side)
            cells = torch.from_numpy(paper_v1.latent(paper_v1.grey_grid(signature))[:1])[None]
            latent = torch.nn.functional.interpolate(cells, (places, places)).expand_as(latent).contiguous()
        return cls(0, latent, torch.zeros_like(latent), torch.zeros_like(latent), 1.0, 1.0)

    def to_bytes(self, run: bytes) -> bytes:
        state = np.stack([self.latent.numpy(), self.first.numpy(), self.second.numpy()])
        body = _HEAD.pack(self.iteration, self.power1, self.power2, *self.latent.shape) + state.astype("<f4").tobytes()
        return _seal(body, run) + body

    @classmethod
    def read(cls, data: bytes, run: bytes) -> _State:
        seal, body = data[:_SEAL_BYTES], data[_SEAL_BYTES:]
        if not hmac.compare_digest(seal, _seal(body, run)):
            raise CheckpointError("The checkpoint is damaged or another work's.")
        iteration, power1, power2, *shape = _HEAD.unpack_from(body)
        state = np.frombuffer(body, "<f4", offset=_HEAD.size).reshape(3, *shape)
        latent, first, second = (torch.from_numpy(part.astype(np.float32)) for part in state)
        return cls(iteration, latent, first, second, power1, power2)


def _seal(body: bytes, run: bytes) -> bytes:
    return hashlib.blake2s(body, key=run, person=b"prov-chk").digest()


def _step(recipe: Recipe, run: bytes, state: _State, wanted: Tensor, models: tiers.Models) -> float:
    """Take one iteration and return its loss."""
    latent = models.look_up(models.nearest(state.latent)).requires_grad_()
    with torch.enable_grad():
        pixels = _Rounded.apply(models.decode(latent))  # type: ignore[no-untyped-call]
        embeddings = models.embed_crops(noisy_crops(recipe, run, state.iteration, pixels, models))
    with torch.no_grad():
        loss, gradient = pull(embeddings, wanted)
    embeddings.backward(gradient)
    assert latent.grad is not None
    _adamw(recipe, state, latent.grad.contiguous())
    return loss.item()


@torch.no_grad()
def _adamw(recipe: Recipe, state: _State, gradient: Tensor) -> None:
    """Loshchilov and Hutter 2019, algorithm 2, one operation after the other: a fused kernel rounds as it likes."""
    state.iteration += 1
    state.power1 *= _BETA1
    state.power2 *= _BETA2
    state.latent.mul_(1 - recipe.learning_rate * recipe.weight_decay)
    state.first.mul_(_BETA1).add_(gradient * (1 - _BETA1))
    state.second.mul_(_BETA2).add_(gradient * gradient * (1 - _BETA2))
    root = square_root(state.second / (1 - state.power2)).add_(_EPSILON)
    state.latent.sub_(state.first / (1 - state.power1) / root * recipe.learning_rate)
