"""The networks of the universal adversarial signature: an injector, a U-Net, and a detector, ResNet-34.

Zeng et al., "Securing Deep Generative Models with Universal Adversarial Signature" (arXiv 2305.16310), section 4. The
U-Net is that of Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis" (2021), appendix B, told one
constant time step; the code's embedding is added to the step's, and every block scales and shifts its features by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# He et al., "Deep Residual Learning for Image Recognition" (2016), table 1, 34 layers: blocks of each stage.
_RESNET_34 = (3, 4, 6, 3)


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a U-Net; the defaults are the paper's.

    Attributes:
        channels: of the first level; of level i it is that times ``multipliers[i]``.
        blocks: residual blocks a level on the way down; one more on the way up.
        attention: rates of downsampling whose levels have self-attention, and so has the middle.
        head: channels of one head of attention.
        groups: of normalisation.
        step: the time step that the network is told, always the same one.
    """

    channels: int = 64
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    blocks: int = 2
    attention: tuple[int, ...] = (8, 16, 32)
    head: int = 64
    groups: int = 32
    dropout: float = 0.1
    step: int = 100

    @property
    def stride(self) -> int:
        """What a picture's sides must be multiples of."""
        return 1 << (len(self.multipliers) - 1)


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes of a ResNet-34; the defaults are the published ones.

    Attributes:
        width: channels of the first stage; they double with each stage.
        small: a first convolution of 3 x 3 and stride 2 without pooling after it, for pictures of 32 to 64 pixels.
    """

    width: int = 64
    small: bool = False


def step_embedding(step: Tensor, size: int) -> Tensor:
    """Return cosines and sines of time steps ``[...]``, float32 ``[..., size]``, as in Vaswani et al. (2017); ``size``
    is even."""
    rates = torch.exp(-math.log(10_000) * torch.arange(size // 2, device=step.device) / (size // 2))
    angles = step[..., None] * rates
    return torch.cat([torch.cos(angles), torch.sin(angles)], -1)


def _zeroed(module: nn.Conv2d) -> nn.Conv2d:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class FiLMBlock(nn.Module):
    """A residual block whose second normalisation is scaled and shifted by an embedding.

    Args:
        resample: 2 halves the picture, -2 doubles it, 1 leaves it.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, config: UNetConfig, resample: int = 1) -> None:
        super().__init__()
        self.resample = resample
        self.norm_in = nn.GroupNorm(config.groups, inputs)
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm_out = nn.GroupNorm(config.groups, outputs)
        self.dropout = nn.Dropout(config.dropout)
        self.conv_out = _zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map ``[B, inputs, H, W]`` and ``[B, E]`` to ``[B, outputs, H', W']``."""
        h = self._resampled(functional.silu(self.norm_in(x)))
        scale, shift = self.modulation(functional.silu(embedding))[:, :, None, None].chunk(2, 1)
        h = self.norm_out(self.conv_in(h)) * (1 + scale) + shift
        out: Tensor = self.skip(self._resampled(x)) + self.conv_out(self.dropout(functional.silu(h)))
        return out

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == 2:
            return functional.avg_pool2d(x, 2)
        return functional.interpolate(x, scale_factor=2.0) if self.resample == -2 else x


class SelfAttention(nn.Module):
    """Attention of all places to each other, added to what came in."""

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        self.heads = max(1, channels // config.head)
        self.norm = nn.GroupNorm(config.groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, _embedding: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape."""
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, 3, self.heads, channels // self.heads, height * width)
        query, key, value = qkv.transpose(3, 4).unbind(1)
        seen = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = x + self.out(seen.transpose(2, 3).reshape(x.shape))
        return out


class _Stage(nn.ModuleList):
    """Modules one after the other, each told the embedding."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for module in self:
            x = module(x, embedding)
        return x


class UNetBody(nn.Module):
    """A U-Net whose blocks are told an embedding of ``4 * config.channels`` numbers; its last layer begins as zeros."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        size = 4 * config.channels
        self.step_embedding = nn.Sequential(nn.Linear(config.channels, size), nn.SiLU(), nn.Linear(size, size))
        widths = [config.channels * multiplier for multiplier in config.multipliers]

        def stage(inputs: int, outputs: int, rate: int) -> _Stage:
            block = FiLMBlock(inputs, outputs, size, config)
            return _Stage([block, SelfAttention(outputs, config)] if rate in config.attention else [block])

        self.first = nn.Conv2d(3, widths[0], 3, padding=1)
        width, kept = widths[0], [widths[0]]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, wanted in enumerate(widths):
            for _ in range(config.blocks):
                self.down.append(stage(width, wanted, 1 << level))
                kept.append(width := wanted)
            if level + 1 < len(widths):
                self.down.append(_Stage([FiLMBlock(width, width, size, config, 2)]))
                kept.append(width)
        self.middle = _Stage(
            [FiLMBlock(width, width, size, config), SelfAttention(width, config), FiLMBlock(width, width, size, config)]
        )
        for level, wanted in reversed(list(enumerate(widths))):
            for number in range(config.blocks + 1):
                found = stage(width + kept.pop(), wanted, 1 << level)
                width = wanted
                if level and number == config.blocks:
                    found.append(FiLMBlock(width, width, size, config, -2))
                self.up.append(found)
        self.norm = nn.GroupNorm(config.groups, width)
        self.last = _zeroed(nn.Conv2d(width, 3, 3, padding=1))

    def told(self, pixels: Tensor, embedding: Tensor) -> Tensor:
        """Map ``[B, 3, H, W]`` and ``[B, 4 * channels]`` to ``[B, 3, H, W]``.

        Raises:
            ValueError: the sides are no multiples of ``config.stride``.
        """
        if pixels.shape[2] % self.config.stride or pixels.shape[3] % self.config.stride:
            raise ValueError(f"Sides must be multiples of {self.config.stride}, not {tuple(pixels.shape[2:])}.")
        x = self.first(pixels)
        kept = [x]
        for stage in self.down:
            x = stage(x, embedding)
            kept.append(x)
        x = self.middle(x, embedding)
        for stage in self.up:
            x = stage(torch.cat([x, kept.pop()], 1), embedding)
        out: Tensor = self.last(functional.silu(self.norm(x)))
        return out


class UNet(UNetBody):
    """The injector W, or the restorer M of its attack.

    Args:
        bits: of the code; 1 bit has but one code, so the network is not told it.
    """

    step: Tensor

    def __init__(self, config: UNetConfig, bits: int = 1) -> None:
        super().__init__(config)
        self.bits = bits
        size = 4 * config.channels
        self.register_buffer("step", step_embedding(torch.tensor(config.step), config.channels), persistent=False)
        self.code_embedding = (
            nn.Sequential(nn.Linear(bits, size), nn.SiLU(), nn.Linear(size, size)) if bits > 1 else None
        )

    def forward(self, pixels: Tensor, code: Tensor | None = None) -> Tensor:
        """Map a picture to the signed one, not to a difference; grey before any training.

        Args:
            pixels: float32 ``[B, 3, H, W]`` in [-1, 1], sides multiples of ``config.stride``.
            code: ``[B, bits]`` of 0 and 1, only for more than one bit.

        Returns:
            float32 ``[B, 3, H, W]`` in (-1, 1), not on the grid of 256 levels.

        Raises:
            ValueError: sides or code do not fit.
        """
        embedding = self.step_embedding(self.step.expand(len(pixels), -1))
        if self.code_embedding is not None:
            if code is None or code.shape != (len(pixels), self.bits):
                raise ValueError(f"A code of {self.bits} bits is needed for each of the {len(pixels)} pictures.")
            embedding = embedding + self.code_embedding(code.to(pixels.dtype))
        elif code is not None:
            raise ValueError("An injector of one bit takes no code.")
        return torch.tanh(self.told(pixels, embedding))


class _BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet34(nn.Module):
    """The detector F, under torchvision's names; torchvision's own cannot be made narrower."""

    def __init__(self, config: ResNetConfig, bits: int = 1) -> None:
        super().__init__()
        self.config, self.bits = config, bits
        kernel = 3 if config.small else 7
        self.conv1 = nn.Conv2d(3, config.width, kernel, 2, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(config.width)
        width = config.width
        for stage, blocks in enumerate(_RESNET_34):
            outputs = config.width << stage
            first = _BasicBlock(width, outputs, 2 if stage else 1)
            rest = (_BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1))
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))
            width = outputs
        self.fc = nn.Linear(width, bits)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixels: Tensor) -> Tensor:
        """Map float32 ``[B, 3, H, W]`` in [-1, 1] to the logits of the bits, ``[B, bits]``; all below 0 is unsigned."""
        x = functional.relu(self.bn1(self.conv1(pixels)))
        if not self.config.small:
            x = functional.max_pool2d(x, 3, 2, 1)
        for stage in range(len(_RESNET_34)):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits
