"""Normalisation, activations and attention in exact arithmetic, for networks that have them (see :mod:`.exact`).

The exponential is ours: range reduction to |r| <= ln 2 / 2 in two steps and a polynomial (Cody and Waite, "Software
manual for the elementary functions", 1980), each operation rounded on its own.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from provenance.artwork.exact import LIMIT, exact_sum, square_root, to_grid

_LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has so few bits that its product with a whole number below 128 is exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.1219444005469057e-4
_TAYLOR = tuple(1 / math.factorial(power) for power in range(7, -1, -1))


def exp_of_nonpositive(x: Tensor) -> Tensor:
    """Return e^x for x <= 0, float32, relative error below 3e-7; 0 below -87."""
    whole = (x.clamp(min=-87.0) * _LOG2_E).round_()
    rest = x.clamp(min=-87.0) - whole * _LN2_HIGH
    rest = rest - whole * _LN2_LOW
    found = torch.full_like(x, _TAYLOR[0])
    for coefficient in _TAYLOR[1:]:
        found = found.mul_(rest).add_(coefficient)
    # 2^whole by its bits: the exponent field alone.
    power = ((whole.to(torch.int32) + 127) << 23).view(torch.float32)
    return torch.where(x < -87.0, torch.zeros_like(x), found * power)


class _Sigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        small = exp_of_nonpositive(-x.abs())
        whole = 1 / (small + 1)
        found = torch.where(x >= 0, whole, small * whole)
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (found,) = ctx.saved_tensors
        slope: Tensor = found * (1 - found)
        return gradients[0] * slope


def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + e^-x), differentiable."""
    result: Tensor = _Sigmoid.apply(x)  # type: ignore[no-untyped-call]
    return result


class ExactSiLU(nn.Module):
    """``x * sigmoid(rate * x)``: swish for rate 1, the "quick GELU" of CLIP for 1.702."""

    def __init__(self, rate: float = 1.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 of any shape to the same shape."""
        return x * sigmoid(x * self.rate)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        powers = exp_of_nonpositive(x - x.amax(-1, keepdim=True))
        found = powers / exact_sum(powers, (x.dim() - 1,))
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (found,) = ctx.saved_tensors
        part = found * gradients[0]
        result: Tensor = part - found * exact_sum(part, (part.dim() - 1,))
        return result


def softmax(x: Tensor) -> Tensor:
    """Return the softmax over the last dimension of float32 ``[B, ..., N]``, differentiable."""
    result: Tensor = _Softmax.apply(x)  # type: ignore[no-untyped-call]
    return result


class _MatMul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _product(a, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return _product(gradients[0], b.transpose(-1, -2)), _product(a.transpose(-1, -2), gradients[0])


def _product(a: Tensor, b: Tensor) -> Tensor:
    levels = float(math.isqrt(int(LIMIT) // a.shape[-1]))
    (left, left_step), (right, right_step) = to_grid(a, levels), to_grid(b, levels)
    return torch.matmul(left, right).mul_(left_step * right_step)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply float32 ``[B, ..., N, K]`` by ``[B, ..., K, M]``, both rounded to about ``sqrt(2^24 / K)`` levels;
    differentiable in both."""
    result: Tensor = _MatMul.apply(a, b)  # type: ignore[no-untyped-call]
    return result


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float) -> Tensor:
        count = x.shape[-1]
        deviation = x - exact_sum(x, (x.dim() - 1,)) / count
        spread = square_root(exact_sum(deviation * deviation, (x.dim() - 1,)) / count + epsilon)
        found = deviation / spread
        ctx.save_for_backward(found, spread)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        found, spread = ctx.saved_tensors
        (gradient,) = gradients
        count, last = gradient.shape[-1], (gradient.dim() - 1,)
        along = found * (exact_sum(gradient * found, last) / count)
        return (gradient - exact_sum(gradient, last) / count - along) / spread, None


def normalise(x: Tensor, epsilon: float) -> Tensor:
    """Bring the last dimension of float32 ``[B, ..., N]`` to mean 0 and variance 1, differentiable."""
    result: Tensor = _Normalise.apply(x, epsilon)  # type: ignore[no-untyped-call]
    return result


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (g,) = gradients
        # Four addends in one order.
        above = g[:, :, ::2, ::2] + g[:, :, ::2, 1::2]
        below = g[:, :, 1::2, ::2] + g[:, :, 1::2, 1::2]
        return above + below


def double(x: Tensor) -> Tensor:
    """Repeat every place of ``[B, C, H, W]`` to twice the side, differentiable."""
    result: Tensor = _Double.apply(x)  # type: ignore[no-untyped-call]
    return result


class ExactLayerNorm(nn.Module):
    """Layer normalisation over the last dimension."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.epsilon = norm.eps
        self.weight, self.bias = norm.weight.detach(), norm.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 ``[B, ..., N]`` to the same shape."""
        return normalise(x, self.epsilon) * self.weight + self.bias


class ExactGroupNorm(nn.Module):
    """Group normalisation of ``[B, C, H, W]``."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, self.epsilon = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight.detach()[:, None, None], norm.bias.detach()[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 ``[B, C, H, W]`` to the same shape."""
        grouped = x.reshape(len(x), self.groups, -1)
        return normalise(grouped, self.epsilon).view(x.shape) * self.weight + self.bias
