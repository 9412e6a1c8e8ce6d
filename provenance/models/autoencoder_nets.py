"""The four autoencoders of Yang et al., "Deep hashing for copyright images" (J.UCS 2023, section 3), as networks.

Each maps a grey picture to a latent vector of as many numbers as the hash shall have bits, and back to the picture.
What the paper leaves open is chosen here and said in each class; ``scale`` multiplies every inner width, so that the
paper's sizes (1) and sizes that a processor trains in minutes are one architecture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

KINDS = ("ae", "res-ae", "con-vae", "vte")
BITS = (16, 32, 64, 128)
_FILTERS = (32, 64, 128, 256, 512, 1024)
_DROPOUT = 0.2
# The paper names none of the transformer's sizes.
_TOKENS_A_SIDE, _TOKEN_WIDTH, _HEADS, _DEPTH = 8, 256, 8, 6


@dataclass(frozen=True)
class Architecture:
    """Which network.

    Attributes:
        kind: one of :data:`KINDS`.
        bits: of the hash and numbers of the latent, a multiple of 8.
        side: pixels a side, a power of two from 16 to 128; the paper's is 128.
        scale: of every inner width; the paper's is 1.
    """

    kind: str
    bits: int
    side: int = 128
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind} is none of {', '.join(KINDS)}")
        if self.bits < 8 or self.bits % 8:
            raise ValueError(f"{self.bits} bits are not a multiple of 8")
        if self.side not in (16, 32, 64, 128):
            raise ValueError(f"a side of {self.side} pixels is not 16, 32, 64 or 128")
        if not 0 < self.scale <= 1:
            raise ValueError(f"a scale of {self.scale} is not above 0 and at most 1")

    def width(self, full: int) -> int:
        """Return a width of the paper's, scaled, a multiple of 8 so that heads and kernels fit."""
        return max(8, 8 * round(full * self.scale / 8))

    def metadata(self) -> dict[str, str]:
        """Return what a weight file says of itself."""
        return {name: str(value) for name, value in asdict(self).items()}


class Latent(NamedTuple):
    """What an encoder says of a batch: means ``[B, bits]``, and if it is variational log variances of that shape."""

    mean: Tensor
    log_variance: Tensor | None


class Autoencoder(nn.Module):
    """Grey pictures ``[B, 1, side, side]`` in [0, 1] to latents and back.

    Attributes:
        threshold: buffer ``[bits]``, the mean of each latent number over the training set: bit i of a picture is
            whether its number i is above (section 3.4; the formula's x is read as the latent, as the text has it).
    """

    threshold: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder, self.decoder = _PAIRS[architecture.kind](architecture)
        self.variational = architecture.kind in ("con-vae", "vte")
        self.register_buffer("threshold", torch.zeros(architecture.bits))

    def encode(self, pictures: Tensor) -> Latent:
        """Return the latents of pictures in [0, 1]."""
        numbers = self.encoder(pictures)
        if not self.variational:
            return Latent(numbers, None)
        mean, log_variance = numbers.chunk(2, 1)
        return Latent(mean, log_variance)

    def decode(self, latent: Tensor) -> Tensor:
        """Return pictures ``[B, 1, side, side]`` in (0, 1) of latents ``[B, bits]``."""
        side = self.architecture.side
        pictures: Tensor = self.decoder(latent).view(-1, 1, side, side).sigmoid()
        return pictures

    def forward(self, pictures: Tensor) -> tuple[Tensor, Latent]:
        """Return reconstructions and latents; in training a variational latent is drawn before it is decoded."""
        latent = self.encode(pictures)
        drawn = latent.mean
        if self.training and latent.log_variance is not None:
            drawn = drawn + torch.randn_like(drawn) * (0.5 * latent.log_variance.float()).exp().to(drawn.dtype)
        return self.decode(drawn), latent

    def loss(self, pictures: Tensor) -> Tensor:
        """Return the mean over a batch of the summed squared error, for variational nets with the divergence of
        Kingma and Welling (weight 1; the paper names none)."""
        found, (mean, log_variance) = self(pictures)
        error: Tensor = functional.mse_loss(found.float(), pictures.float(), reduction="sum") / len(pictures)
        if log_variance is None:
            return error
        mean, log_variance = mean.float(), log_variance.float()
        divergence: Tensor = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return error + divergence


def _full(sizes: tuple[int, ...], *, last_relu: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs))
        if number < len(sizes) - 2:
            layers += [nn.ReLU(), nn.Dropout(_DROPOUT)]
        elif last_relu:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def _plain(architecture: Architecture) -> tuple[nn.Module, nn.Module]:
    """AE: three full layers each way, widths 1024 and 512 (chosen here), and a latent without an activation: behind a
    ReLU half of its numbers would be 0 for nearly every picture, and so would be their means."""
    sizes = (architecture.side**2, architecture.width(1024), architecture.width(512), architecture.bits)
    return nn.Sequential(nn.Flatten(), *_full(sizes)), _full(sizes[::-1])


class _Skip(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + functional.relu(self.linear(x))
        return result


def _residual(architecture: Architecture) -> tuple[nn.Module, nn.Module]:
    """Res-AE: five full layers each way, the second and third of which have a skip connection (width 1024 and 512,
    chosen here); ReLU everywhere and so behind the latent too, as the paper says, which is what fails in it."""
    pixels, wide, narrow = architecture.side**2, architecture.width(1024), architecture.width(512)
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, wide),
        nn.ReLU(),
        _Skip(wide),
        _Skip(wide),
        *_full((wide, narrow, architecture.bits), last_relu=True),
    )
    decoder = nn.Sequential(
        *_full((architecture.bits, narrow, wide), last_relu=True), _Skip(wide), _Skip(wide), nn.Linear(wide, pixels)
    )
    return encoder, decoder


def _channels(architecture: Architecture) -> list[int]:
    """Widths of the convolutions that take a picture to 2 x 2: six at 128 pixels a side, as many fewer as the side is
    halved."""
    return [architecture.width(full) for full in _FILTERS[: int(math.log2(architecture.side)) - 1]]


def _up(architecture: Architecture) -> nn.Module:
    """The decoder of Con-VAE and VTE: a full layer to 2 x 2, then transposed convolutions (kernel 4, stride 2), the
    encoder's widths backwards; kernel and first layer are chosen here."""
    channels = _channels(architecture)[::-1]
    layers: list[nn.Module] = [nn.Linear(architecture.bits, 4 * channels[0]), nn.Unflatten(1, (channels[0], 2, 2))]
    for inputs, outputs in zip(channels, [*channels[1:], 1], strict=True):
        layers += [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)]
    return nn.Sequential(*layers)


def _convolutional(architecture: Architecture) -> tuple[nn.Module, nn.Module]:
    """Con-VAE: convolutions of kernel 2 and stride 2 with ReLU down to 2 x 2, one full layer to mean and log
    variance."""
    layers: list[nn.Module] = []
    inputs = 1
    for outputs in _channels(architecture):
        layers += [nn.Conv2d(inputs, outputs, 2, 2), nn.ReLU()]
        inputs = outputs
    encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * inputs, 2 * architecture.bits))
    return encoder, _up(architecture)


class _Transformer(nn.Module):
    """64 patches (16 x 16 pixels of 128) with learnt positions, 6 layers of 8 heads and width 256 (chosen here), all
    tokens into one full layer to mean and log variance."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width, patch = architecture.width(_TOKEN_WIDTH), architecture.side // _TOKENS_A_SIDE
        self.patches = nn.Conv2d(1, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, _TOKENS_A_SIDE**2, width))
        layer = nn.TransformerEncoderLayer(
            width, _HEADS, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, _DEPTH, nn.LayerNorm(width), enable_nested_tensor=False)
        self.project = nn.Linear(_TOKENS_A_SIDE**2 * width, 2 * architecture.bits)

    def forward(self, pictures: Tensor) -> Tensor:
        tokens = self.patches(pictures).flatten(2).transpose(1, 2) + self.position
        result: Tensor = self.project(self.layers(tokens).flatten(1))
        return result


def _attentive(architecture: Architecture) -> tuple[nn.Module, nn.Module]:
    return _Transformer(architecture), _up(architecture)


_PAIRS = {"ae": _plain, "res-ae": _residual, "con-vae": _convolutional, "vte": _attentive}


def load_autoencoder(path: Path) -> Autoencoder:
    """Read a weight file that :mod:`provenance.training.deephash` wrote, float32, in eval mode.

    Raises:
        ValueError: the file is not such a one.
    """
    with safe_open(path, framework="pt") as file:
        said: Mapping[str, str] = file.metadata() or {}
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    try:
        net = Autoencoder(
            Architecture(said["kind"], int(said["bits"]), int(said["side"]), float(said["scale"])),
        )
        net.load_state_dict(tensors)
    except (KeyError, RuntimeError) as problem:
        raise ValueError(f"{path.name} is no autoencoder of this package") from problem
    return net.eval().requires_grad_(False)
