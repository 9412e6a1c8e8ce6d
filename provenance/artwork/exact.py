"""Networks whose every sum is exact, and which therefore give the same bits on every machine.

Floating-point addition is not associative, so that a sum's last bits depend on the order, and the order on threads,
vector width and library. Here the operands of each sum of products are first rounded to whole numbers, few enough and
small enough that every partial sum in whatever order is below 2^24 and so exact in float32 (IEEE 754-2019, 4.3).
Whatever kernel the machine is fastest with then gives the one right answer. Between the sums stand only single
additions, multiplications, divisions, square roots, roundings and comparisons, each correctly rounded by IEEE 754,
and never two of them in one kernel that might contract them.

The functions are differentiable with respect to their input, by the same arithmetic; weights are constants.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

# Whole numbers up to here are exact in float32.
LIMIT = float(2**24 - 1)
_WEIGHT_LEVELS = 127
_NOTHING = 2.0**-90
_FINEST = 2**12
# Addends of a long sum, in float64: up to 2^21 of them stay below 2^53.
_SUM_LEVELS = float(2**31)

_checked = threading.Event()


class NotExact(RuntimeError):
    """This machine's kernels do not sum whole numbers exactly; canonical artworks cannot be made on it."""


def check_kernels() -> None:
    """Compare this machine's kernels with integer arithmetic, at the largest numbers that are used. Once a process.

    Raises:
        NotExact: they differ, for example because something replaced products by sums (Winograd) or rounded operands.
    """
    if _checked.is_set():
        return
    # It convolves batches of sixteen and more by Winograd's way where oneDNN is off; that rounds.
    torch.backends.nnpack.set_flags(False)
    random = np.random.Generator(np.random.Philox(key=7))
    # Signs that cancel, then sums as large as they come.
    for batch, channels, lowest in ((1, 192, -1), (1, 192, 0), (1, 32, 0), (16, 32, 0)):
        levels = int(LIMIT) // (channels * 9 * 40)
        x = random.integers(lowest * levels, levels + 1, (batch, channels, 7, 7))
        w = random.integers(lowest * 40, 41, (channels, channels, 3, 3))
        inputs, weights = torch.from_numpy(x).float(), torch.from_numpy(w).float()
        found = torch.nn.functional.conv2d(inputs, weights, padding=1)
        back = conv2d_input(inputs.shape, weights, inputs, padding=1)
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        right = np.tensordot(windows, w, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
        turned = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        right_back = np.tensordot(windows, turned, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
        if not (np.array_equal(found.numpy(), right) and np.array_equal(back.numpy(), right_back)):
            raise NotExact("The convolutions of this machine's PyTorch do not sum whole numbers exactly.")
    a, b = random.integers(-2000, 2001, (8, 1280)), random.integers(-6, 7, (1280, 512))
    product = torch.from_numpy(a).float() @ torch.from_numpy(b).float()
    if not np.array_equal(product.numpy(), a @ b):
        raise NotExact("The matrix products of this machine's PyTorch do not sum whole numbers exactly.")
    _checked.set()


def to_grid(x: Tensor, levels: float) -> tuple[Tensor, Tensor]:
    """Round each sample of a batch to whole numbers in ``-levels .. levels``.

    Args:
        x: float32 ``[B, ...]``, finite.
        levels: below 2^22, so that the largest value does not round past it.

    Returns:
        Whole numbers, float32 of the same shape, and the size of one step, float32 ``[B, 1, ...]``.
    """
    dims = tuple(range(1, x.dim()))
    # Twice as fast as the absolute value's maximum, and ten times as fast as aminmax.
    largest = torch.maximum(x.amax(dims, keepdim=True), -x.amin(dims, keepdim=True))
    # What is next to nothing becomes nothing: its reciprocal would overflow.
    largest = torch.where(largest > _NOTHING, largest, torch.ones_like(largest))
    return (x * (levels / largest)).round_(), largest / levels


def exact_sum(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Sum at most 2^21 addends over dimensions other than the first, each sample in steps of 2^-31 of its largest.

    Args:
        x: float32 or float64 ``[B, ...]``.

    Returns:
        float32, the summed dimensions kept at 1.
    """
    result: Tensor = _Sum.apply(x, dims)  # type: ignore[no-untyped-call]
    return result


def square_root(x: Tensor) -> Tensor:
    """Return the correctly rounded square root of float32 numbers that are not negative; not differentiable.

    PyTorch's own is MKL's on x86, whose last bit is another for one number in six.
    """
    return torch.from_numpy(np.sqrt(x.numpy()))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...]) -> Tensor:
        ctx.shape = x.shape
        whole, step = to_grid(x.double(), _SUM_LEVELS)
        return (whole.sum(dims, keepdim=True) * step).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].expand(ctx.shape), None


class ExactConv2d(nn.Module):
    """A convolution with constant weights of eight bits a channel, exact as the module says.

    Attributes:
        weight: whole numbers, float32 ``[O, I / groups, kH, kW]``.
        scale: what one step of a weight is worth, float32 ``[O]``.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.whole_input = False
        self.ceiling: float | None = None
        weight = conv.weight.detach().float()
        largest = weight.abs().amax((1, 2, 3))
        scale = torch.where(largest > 0, largest / _WEIGHT_LEVELS, torch.ones_like(largest))
        whole = (weight / scale[:, None, None, None]).round()
        self.register_buffer("weight", whole.contiguous(memory_format=torch.channels_last))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().float())
        self.stride, self.padding, self.groups = conv.stride, conv.padding, conv.groups
        magnitude = whole.abs().double()
        forward = magnitude.sum((1, 2, 3)).max().item()
        grouped = magnitude.view(self.groups, -1, *whole.shape[1:])
        # An input place meets only the weights that its distance to the stride's grid leads to.
        down, right = conv.stride
        backward = max(
            grouped[..., row::down, column::right].sum((1, 3, 4)).max().item()
            for row in range(min(down, whole.shape[2]))
            for column in range(min(right, whole.shape[3]))
        )
        self.levels = min(_FINEST, LIMIT // max(forward, 1))
        self.back_levels = min(_FINEST, LIMIT // max(backward, 1))

    def feed(self, following: ExactConv2d, ceiling: float) -> None:
        """Hand a clipped output (``clip(y, 0, ceiling)``: ReLU6 for 6) on to the next convolution as whole numbers, in
        the steps that it wants, so that nothing has to be measured and scaled in between."""
        steps = following.levels / ceiling
        self.ceiling, self.scale = following.levels, self.scale * steps
        self.bias = None if self.bias is None else self.bias * steps
        following.whole_input, following.scale = True, following.scale / steps

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 ``[B, I, H, W]`` as the convolution does, or as :meth:`feed` says."""
        y: Tensor = _Conv.apply(x, self)  # type: ignore[no-untyped-call]
        return y


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, conv: ExactConv2d) -> Tensor:
        ctx.conv, ctx.shape = conv, x.shape
        factor = conv.scale[:, None, None]
        if conv.whole_input:
            whole = x
        else:
            whole, step = to_grid(x, conv.levels)
            factor = factor * step
        y = nn.functional.conv2d(whole, conv.weight, None, conv.stride, conv.padding, 1, conv.groups)
        y.mul_(factor)
        if conv.bias is not None:
            y.add_(conv.bias[:, None, None])
        if conv.ceiling is not None:
            y.clamp_(0, conv.ceiling).round_()
            ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        conv = ctx.conv
        (gradient,) = gradients
        if conv.ceiling is not None:
            (y,) = ctx.saved_tensors
            gradient = torch.ops.aten.hardtanh_backward(gradient, y, 0, conv.ceiling)
            gradient.mul_(conv.scale[:, None, None])
        else:
            gradient = gradient * conv.scale[:, None, None]
        whole, step = to_grid(gradient, conv.back_levels)
        found = conv2d_input(ctx.shape, conv.weight, whole, conv.stride, conv.padding, 1, conv.groups)
        return found.mul_(step), None


class ExactLinear(nn.Module):
    """A linear map with constant weights of eight bits a row, exact as the module says."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        largest = weight.abs().amax(1)
        scale = torch.where(largest > 0, largest / _WEIGHT_LEVELS, torch.ones_like(largest))
        whole = (weight / scale[:, None]).round()
        self.register_buffer("weight", whole)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())
        magnitude = whole.abs().double()
        self.levels = min(_FINEST, LIMIT // max(magnitude.sum(1).max().item(), 1))
        self.back_levels = min(_FINEST, LIMIT // max(magnitude.sum(0).max().item(), 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 ``[B, ..., I]`` to ``[B, ..., O]``."""
        y: Tensor = _Linear.apply(x, self)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: ExactLinear) -> Tensor:
        ctx.linear = linear
        whole, step = to_grid(x, linear.levels)
        return (whole @ linear.weight.T).mul_(step).mul_(linear.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        linear = ctx.linear
        whole, step = to_grid(gradients[0] * linear.scale, linear.back_levels)
        return (whole @ linear.weight).mul_(step), None


def make_exact(module: nn.Module) -> nn.Module:
    """Return a module whose convolutions and linear maps, itself or inside it, are exact; inside, they are replaced."""
    if isinstance(module, nn.Conv2d):
        return ExactConv2d(module)
    if isinstance(module, nn.Linear):
        return ExactLinear(module)
    for name, child in module.named_children():
        setattr(module, name, make_exact(child))
    return module
