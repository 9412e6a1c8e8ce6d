"""The published VQGAN, ImageNet, f = 16, 16,384 codes: plain modules under the names that its checkpoint uses.

Esser, Rombach and Ommer, "Taming Transformers for High-Resolution Image Synthesis" (CVPR 2021), with the published
configuration: 128 channels times 1, 1, 2, 2, 4, two residual blocks a level (three in the decoder), attention where the
side is 16 of 256. Every linear map is an ``nn.Conv2d`` and every norm an ``nn.GroupNorm``; what lies between them is in
the functions of this file.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from provenance.models.checkpoints import fill, read_tensors

NAME = "vqgan-f16-16384"
STRIDE = 16
CODES, DIM = 16384, 256
_CHANNELS, _FACTORS, _BLOCKS, _GROUPS = 128, (1, 1, 2, 2, 4), 2, 32
_DEEPEST = len(_FACTORS) - 1
# Of the training only: the discriminator and the perceptual distance.
_IGNORED = ("loss.",)


def swish(x: Tensor) -> Tensor:
    """Return ``x * sigmoid(x)``."""
    y: Tensor = x * torch.sigmoid(x)
    return y


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention of every place to every place, one head, all ``[B, C, H, W]``."""
    batch, channels, height, width = query.shape
    q, k, v = (part.reshape(batch, channels, height * width) for part in (query, key, value))
    weights = torch.softmax(torch.bmm(q.transpose(1, 2), k) * channels**-0.5, dim=2)
    return torch.bmm(v, weights.transpose(1, 2)).reshape(batch, channels, height, width)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(_GROUPS, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """Two times norm, swish, convolution, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = _norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = _norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, inputs, H, W]`` to ``[B, outputs, H, W]``."""
        y = self.conv1(swish(self.norm1(x)))
        y = self.conv2(swish(self.norm2(y)))
        total: Tensor = y + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)
        return total


class AttentionBlock(nn.Module):
    """Attention over all places, its four maps as 1 x 1 convolutions, beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape."""
        y = self.norm(x)
        projected: Tensor = self.proj_out(attend(self.q(y), self.k(y), self.v(y)))
        return x + projected


class Downsample(nn.Module):
    """Half the side: a convolution of stride 2 after one row and one column of zeros below and to the right."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, C, H/2, W/2]``."""
        half: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return half


class Upsample(nn.Module):
    """Twice the side: every place repeated, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, C, 2H, 2W]``."""
        double: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return double


class Level(nn.Module):
    """The blocks of one resolution, the deepest with attention after each, and the step to the next resolution."""

    def __init__(self, inputs: int, outputs: int, blocks: int, *, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(outputs if number else inputs, outputs) for number in range(blocks))
        self.attn = nn.ModuleList(AttentionBlock(outputs) for _ in range(blocks if attention else 0))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, inputs, H, W]`` to ``[B, outputs, H, W]``, resized if there is a step."""
        for number, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[number](x)
        for step in ("downsample", "upsample"):
            if hasattr(self, step):
                x = getattr(self, step)(x)
        return x


class Middle(nn.Module):
    """Residual block, attention, residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = AttentionBlock(channels)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape."""
        y: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return y


class Encoder(nn.Module):
    """Pixels in [-1, 1], ``[B, 3, H, W]``, to features ``[B, DIM, H/16, W/16]``."""

    def __init__(self) -> None:
        super().__init__()
        widths = [_CHANNELS * factor for factor in _FACTORS]
        self.conv_in = nn.Conv2d(3, _CHANNELS, 3, padding=1)
        self.down = nn.ModuleList()
        inputs = _CHANNELS
        for number, outputs in enumerate(widths):
            level = Level(inputs, outputs, _BLOCKS, attention=number == _DEEPEST)
            if number < _DEEPEST:
                level.downsample = Downsample(outputs)
            self.down.append(level)
            inputs = outputs
        self.mid = Middle(inputs)
        self.norm_out = _norm(inputs)
        self.conv_out = nn.Conv2d(inputs, DIM, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels, sides divisible by 16, to features."""
        x = self.conv_in(pixels)
        for level in self.down:
            x = level(x)
        features: Tensor = self.conv_out(swish(self.norm_out(self.mid(x))))
        return features


class Decoder(nn.Module):
    """Features ``[B, DIM, h, w]`` to pixels, about [-1, 1], ``[B, 3, 16h, 16w]``."""

    def __init__(self) -> None:
        super().__init__()
        widths = [_CHANNELS * factor for factor in _FACTORS]
        self.conv_in = nn.Conv2d(DIM, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        levels: list[Level] = []
        inputs = widths[-1]
        for number in reversed(range(len(widths))):
            level = Level(inputs, widths[number], _BLOCKS + 1, attention=number == _DEEPEST)
            if number > 0:
                level.upsample = Upsample(widths[number])
            levels.insert(0, level)
            inputs = widths[number]
        # Numbered by resolution as in the encoder, so the last is the first to run.
        self.up = nn.ModuleList(levels)
        self.norm_out = _norm(inputs)
        self.conv_out = nn.Conv2d(inputs, 3, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features to pixels."""
        x = self.mid(self.conv_in(features))
        for level in reversed(self.up):
            x = level(x)
        pixels: Tensor = self.conv_out(swish(self.norm_out(x)))
        return pixels


class Codebook(nn.Module):
    """The vectors that codes name, ``embedding.weight``, float32 ``[CODES, DIM]``."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CODES, DIM)

    def look_up(self, codes: Tensor) -> Tensor:
        """Map codes, int64 ``[B, h, w]``, to a latent ``[B, DIM, h, w]``."""
        latent: Tensor = self.embedding(codes)
        return latent.permute(0, 3, 1, 2).contiguous()

    def nearest(self, latent: Tensor) -> Tensor:
        """Map a latent ``[B, DIM, h, w]`` to the codes, int64 ``[B, h, w]``, at the least Euclidean distance."""
        vectors = self.embedding.weight
        places = latent.permute(0, 2, 3, 1)
        # The square of the place's own length is the same for every code.
        distances = vectors.square().sum(1) - 2 * (places @ vectors.T)
        return distances.argmin(3)


class VQGAN(nn.Module):
    """Encoder, codebook and decoder with the checkpoint's names."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.quantize = Codebook()
        self.quant_conv = nn.Conv2d(DIM, DIM, 1)
        self.post_quant_conv = nn.Conv2d(DIM, DIM, 1)

    def encode(self, pixels: Tensor) -> Tensor:
        """Map pixels in [-1, 1], ``[B, 3, H, W]`` with sides divisible by 16, to a latent ``[B, DIM, H/16, W/16]``
        that no codebook has rounded yet."""
        latent: Tensor = self.quant_conv(self.encoder(pixels))
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Map a latent ``[B, DIM, h, w]``, looked up or not, to pixels, about [-1, 1], ``[B, 3, 16h, 16w]``."""
        pixels: Tensor = self.decoder(self.post_quant_conv(latent))
        return pixels

    def reconstruct(self, pixels: Tensor) -> Tensor:
        """Map pixels through encoder, codebook and decoder; shapes and ranges as above."""
        return self.decode(self.quantize.look_up(self.quantize.nearest(self.encode(pixels))))


def load_vqgan(path: Path) -> VQGAN:
    """Load the published checkpoint, or its tensors as safetensors, for use without training.

    Returns:
        On the CPU, float32, in eval mode, without gradients of its weights.

    Raises:
        ModelCorrupt: the file is not this model; the message names keys.
    """
    tensors = read_tensors(path, NAME)
    with torch.device("meta"):
        vqgan = VQGAN()
    vqgan.to_empty(device="cpu")
    fill(vqgan, tensors, path, NAME, _IGNORED)
    return vqgan.eval().requires_grad_(False)
