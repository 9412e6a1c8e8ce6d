"""The two tiers of models behind one face, in either arithmetic."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from provenance.artwork.exact import (
    ExactConv2d,
    ExactLinear,
    check_kernels,
    exact_sum,
    make_exact,
    square_root,
)
from provenance.artwork.nearest import nearest_codes
from provenance.artwork.published import PublishedModels
from provenance.artwork.recipe import Mode, Recipe, Tier
from provenance.models import small_vqgan, store, text_image
from provenance.models.efficientnet import EfficientNetLite0, MobileBlock

_RELU6 = 6.0


class Models(Protocol):
    """What the loop asks of a generator and its guide.

    Attributes:
        stride: pixels a code.
        books, codes: how many codebooks, and how many codes each.
        crop_side: pixels of a side of what the guide looks at.
    """

    stride: int
    books: int
    codes: int
    crop_side: int

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the latent, float32 ``[1, C, h, w]``, of codes, int64 ``[books, h, w]``."""
        ...

    def nearest(self, latent: Tensor) -> Tensor:
        """Return the codes nearest to a latent."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Return pixels, about -1 to 1, ``[1, 3, H, W]``; differentiable."""
        ...

    def embed_crops(self, crops: Tensor) -> Tensor:
        """Return embeddings ``[K, E]`` of crops ``[K, 3, S, S]``, 0 to 255; differentiable, length not 1."""
        ...

    def embed_texts(self, texts: list[str]) -> Tensor:
        """Return embeddings ``[N, E]`` of length 1."""
        ...


class WrongModel(RuntimeError):
    """The work was made with other weights than those that are here."""


def load_for(recipe: Recipe) -> Models:
    """Load the models that a recipe names.

    Raises:
        WrongModel: a file here is not the one that made the work.
        provenance.models.store.ModelMissing: a file is not here.
        provenance.artwork.exact.NotExact: canonical arithmetic is not to be had on this machine.
    """
    for name, sha256 in (recipe.generator, recipe.guide):
        here = store.sha256(name)
        if here != sha256:
            raise WrongModel(f"This work was made with {name} {sha256[:12]}…, and here is {here[:12]}….")
    return load(recipe.tier, recipe.mode, recipe.generator[1], recipe.guide[1])


@lru_cache(maxsize=2)
def load(tier: Tier, mode: Mode, generator: str, guide: str) -> Models:
    """Load a tier's models for a mode's arithmetic.

    Args:
        generator, guide: SHA-256 of their files: where the package is renewed under a process, what that has loaded is
            not what recipes name from then on.

    Raises:
        provenance.models.store.ModelMissing: a file is not here.
        provenance.artwork.exact.NotExact: canonical arithmetic is not to be had on this machine.
    """
    if mode is Mode.CANONICAL:
        check_kernels()
    kind = ShippedModels if tier is Tier.SHIPPED else PublishedModels
    return kind(exact=mode is Mode.CANONICAL)


class ShippedModels:
    """The small VQGAN and the small text-image model of the package."""

    stride = small_vqgan.STRIDE
    books = small_vqgan.BOOKS
    codes = small_vqgan.CODES
    crop_side = text_image.SIDE

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact
        vqgan = load_small_vqgan()
        self.codebook = vqgan.codebook
        self.decoder: nn.Module = vqgan.decoder
        image, self.text = load_text_image()
        self.features: nn.Module = image.features
        self.project: nn.Module = image.project
        if exact:
            make_exact(self.decoder)
            self.features = exact_efficientnet(image.features)
            self.project = ExactLinear(image.project)
            make_exact(self.text)
            self.text.total = exact_sum
        for module in (self.decoder, self.features, self.project, self.text):
            module.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def look_up(self, codes: Tensor) -> Tensor:
        """See :class:`Models`."""
        parts = [self.codebook[book][codes[book]] for book in range(self.books)]
        return torch.cat(parts, 2).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)

    def nearest(self, latent: Tensor) -> Tensor:
        """See :class:`Models`."""
        return nearest_codes(latent.contiguous(), self.codebook, exact=self.exact, unit=True)

    def decode(self, latent: Tensor) -> Tensor:
        """See :class:`Models`."""
        pixels: Tensor = self.decoder(latent)
        return pixels

    def embed_crops(self, crops: Tensor) -> Tensor:
        """See :class:`Models`."""
        features = self.features((crops - 127) * 2.0**-7)
        count = features.shape[2] * features.shape[3]
        pooled = exact_sum(features, (2, 3))[:, :, 0, 0] / count if self.exact else features.mean((2, 3))
        embedding: Tensor = self.project(pooled)
        return embedding

    @torch.no_grad()
    def embed_texts(self, texts: list[str]) -> Tensor:
        """See :class:`Models`. One text after the other: a longer neighbour changes nothing."""
        embeddings = torch.cat([self.text(*self.text.tokens([text])) for text in texts])
        if not self.exact:
            return functional.normalize(embeddings)
        return embeddings / square_root(exact_sum(embeddings * embeddings, (1,)))


class ExactMobileBlock(nn.Module):
    """A :class:`MobileBlock` in exact arithmetic, its ReLU6 in the convolutions' own passes."""

    def __init__(self, block: MobileBlock) -> None:
        super().__init__()
        self.expand = None if block.expand is None else make_exact(block.expand)
        self.depthwise, self.project = make_exact(block.depthwise), make_exact(block.project)
        if self.expand is not None:
            _convolution(self.expand).feed(_convolution(self.depthwise), _RELU6)
        _convolution(self.depthwise).feed(_convolution(self.project), _RELU6)
        self.residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` as the block does."""
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        result: Tensor = x + y if self.residual else y
        return result


def exact_efficientnet(net: EfficientNetLite0) -> nn.Module:
    """Return the network in exact arithmetic, its activations in the convolutions' own passes."""
    blocks = [ExactMobileBlock(block) for block in net.blocks if isinstance(block, MobileBlock)]
    stem, head = make_exact(net.stem), make_exact(net.head)
    _convolution(stem).feed(_convolution(blocks[0].depthwise), _RELU6)
    return nn.Sequential(stem, *blocks, head, nn.ReLU6())


def _convolution(module: nn.Module) -> ExactConv2d:
    (found,) = (part for part in module.modules() if isinstance(part, ExactConv2d))
    return found


def load_small_vqgan() -> small_vqgan.SmallVQGAN:
    """Load the shipped VQGAN, float32.

    Raises:
        provenance.models.store.ModelMissing: the file is not here.
    """
    net = small_vqgan.SmallVQGAN()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(store.path("small-vqgan")).items()})
    return net.eval().requires_grad_(False)


def load_text_image() -> tuple[text_image.ImageTower, text_image.TextTower]:
    """Load the two towers of the shipped text-image model.

    Raises:
        provenance.models.store.ModelMissing: the file is not here.
    """
    file = store.path("text-image")
    with safe_open(file, "pt") as handle:
        vocabulary = json.loads(handle.metadata()["vocabulary"])
    tensors = {name: tensor.float() for name, tensor in load_file(file).items()}
    image, text = text_image.ImageTower(), text_image.TextTower(vocabulary)
    for prefix, module in (("image.", image), ("text.", text)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return image, text
