"""Activations, norms and attention in exact arithmetic: close to the real functions, and the same in every order."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from provenance.artwork.exact_layers import (
    ExactGroupNorm,
    ExactLayerNorm,
    ExactSiLU,
    double,
    exp_of_nonpositive,
    matmul,
    normalise,
    sigmoid,
    softmax,
)
from tests.artwork.test_exact import gradients, numbers, relative

SCALES = [1e-6, 1e-2, 1.0, 30.0]


def test_exp_is_close_for_every_float_of_its_range() -> None:
    x = torch.cat([-torch.logspace(-30, math.log10(87), 200_000), torch.linspace(-87, 0, 200_001)]).clamp(min=-87)
    expected = torch.exp(x.double())
    assert ((exp_of_nonpositive(x).double() - expected).abs() / expected).max() < 3e-7
    assert exp_of_nonpositive(torch.tensor([0.0, -0.0])).tolist() == [1, 1]
    far = torch.tensor([-87.1, -100.0, -1e10, -3e38, float("-inf")])
    assert exp_of_nonpositive(far).tolist() == [0] * 5


def test_exp_never_grows_beyond_one_and_keeps_the_order() -> None:
    found = exp_of_nonpositive(torch.linspace(-20, 0, 4001))
    assert found.max() == 1
    assert (found.diff() > 0).all()


def test_exp_leaves_its_argument_alone() -> None:
    x = torch.linspace(-5, 0, 11)
    before = x.clone()
    exp_of_nonpositive(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("ours", "real", "tolerance"),
    [
        (sigmoid, torch.sigmoid, 1e-6),
        (ExactSiLU(), nn.functional.silu, 1e-6),
        (ExactSiLU(1.702), lambda x: x * torch.sigmoid(1.702 * x), 1e-6),
        (softmax, lambda x: x.softmax(-1), 2e-6),
        (lambda x: normalise(x, 1e-6), lambda x: nn.functional.layer_norm(x, x.shape[-1:], eps=1e-6), 1e-5),
        (double, lambda x: nn.functional.interpolate(x, scale_factor=2.0), 1e-7),
    ],
    ids=["sigmoid", "silu", "quick gelu", "softmax", "normalise", "double"],
)
@pytest.mark.parametrize("scale", SCALES)
def test_functions_and_their_gradients_are_close_to_float64(
    ours: Callable[[Tensor], Tensor], real: Callable[[Tensor], Tensor], tolerance: float, scale: float
) -> None:
    x, along = numbers(40, 2, 3, 8, 50, scale=scale), None
    expected = real(x.double())
    along = numbers(41, *expected.shape)
    assert relative(ours(x), expected) < tolerance
    # Where a function is steep, the rounding of x itself counts.
    assert relative(gradients(ours, x, along), gradients(real, x.double(), along.double())) < 20 * tolerance


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e-30, -1e-30, 1e4, -1e4, 1e18, -1e18, 3e38, -3e38])
def test_extreme_values_stay_numbers(value: float) -> None:
    x = torch.full((2, 3, 4), value)
    x[0, 0, 0] = 0
    torch.testing.assert_close(sigmoid(x), torch.sigmoid(x), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(softmax(x), x.softmax(-1), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(ExactSiLU()(x), nn.functional.silu(x), rtol=1e-6, atol=1e-7)
    for function in (sigmoid, softmax, ExactSiLU()):
        assert torch.isfinite(gradients(function, x, torch.ones_like(x))).all()
    if abs(value) < 1e10:
        torch.testing.assert_close(
            normalise(x, 1e-5), nn.functional.layer_norm(x, (4,), eps=1e-5), rtol=1e-4, atol=1e-5
        )
        assert torch.isfinite(gradients(lambda y: normalise(y, 1e-5), x, torch.ones_like(x))).all()


def test_softmax_adds_up_to_one() -> None:
    found = softmax(numbers(42, 2, 5, 200, scale=10))
    torch.testing.assert_close(found.double().sum(-1), torch.ones(2, 5, dtype=torch.float64), rtol=0, atol=1e-6)
    assert torch.equal(softmax(torch.zeros(1, 1, 8)), torch.full((1, 1, 8), 0.125))


@pytest.mark.parametrize(("n", "k", "m"), [(7, 64, 9), (50, 50, 64), (3, 1024, 5)])
def test_products_are_close_and_differentiable_in_both(n: int, k: int, m: int) -> None:
    a, b, along = numbers(43, 2, 3, n, k), numbers(44, 2, 3, k, m), numbers(45, 2, 3, n, m)
    exact = a.double() @ b.double()
    # sqrt(2^24 / K) levels for a value and its largest: about one per cent for the longest sums.
    assert relative(matmul(a, b), exact) < 0.02
    found_a = gradients(lambda x: matmul(x, b), a, along)
    found_b = gradients(lambda x: matmul(a, x), b, along)
    assert relative(found_a, along.double() @ b.double().mT) < 0.02
    assert relative(found_b, a.double().mT @ along.double()) < 0.02


def test_products_of_whole_numbers_are_whole() -> None:
    random = np.random.Generator(np.random.Philox(key=46))
    # isqrt((2^24 - 1) / 64)
    a, b = random.integers(-511, 512, (2, 8, 64)), random.integers(-511, 512, (2, 64, 6))
    a[:, 0, 0] = b[:, 0, 0] = 511
    found = matmul(torch.from_numpy(a).float(), torch.from_numpy(b).float())
    assert torch.equal(found, torch.from_numpy(a @ b).float())
    largest = torch.full((1, 1, 64), 511.0)
    assert matmul(largest, largest.mT).item() == 64 * 511 * 511


def test_doubling_repeats_and_its_gradient_adds() -> None:
    x = torch.arange(4.0).view(1, 1, 2, 2)
    assert double(x)[0, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    along = torch.arange(16.0).view(1, 1, 4, 4)
    assert gradients(double, x, along)[0, 0].tolist() == [[10, 18], [42, 50]]


@pytest.mark.parametrize("scale", SCALES)
def test_layer_norm_is_close_to_the_real_one(scale: float) -> None:
    norm = nn.LayerNorm(768)
    with torch.no_grad():
        norm.weight.copy_(numbers(47, 768))
        norm.bias.copy_(numbers(48, 768))
    x, along = numbers(49, 2, 5, 768, scale=scale), numbers(50, 2, 5, 768)
    real = norm.double()
    assert relative(ExactLayerNorm(norm.float())(x), real.double()(x.double()).detach()) < 1e-5
    found = gradients(ExactLayerNorm(norm.float()), x, along)
    assert relative(found, gradients(norm.double(), x.double(), along.double())) < 1e-4


@pytest.mark.parametrize("scale", SCALES)
def test_group_norm_is_close_to_the_real_one(scale: float) -> None:
    norm = nn.GroupNorm(8, 32, eps=1e-6)
    with torch.no_grad():
        norm.weight.copy_(numbers(51, 32))
        norm.bias.copy_(numbers(52, 32))
    x, along = numbers(53, 2, 32, 6, 5, scale=scale), numbers(54, 2, 32, 6, 5)
    made = ExactGroupNorm(norm)
    found, back = made(x), gradients(made, x, along)
    assert torch.equal(made(x.contiguous(memory_format=torch.channels_last)), found)
    real = norm.double()
    assert relative(found, real(x.double()).detach()) < 1e-5
    assert relative(back, gradients(real, x.double(), along.double())) < 1e-4


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_neither_order_nor_threads_change_a_bit(threads: int) -> None:
    """What is summed over is shuffled; what comes out is the shuffled same."""
    x, along = numbers(55, 2, 7, 700, scale=3), numbers(56, 2, 7, 700)
    a, b = numbers(57, 2, 40, 300), numbers(58, 2, 300, 50)
    torch.set_num_threads(1)
    functions: list[Callable[[Tensor], Tensor]] = [softmax, lambda y: normalise(y, 1e-5)]
    first = [(function(x), gradients(function, x, along)) for function in functions]
    product = matmul(a, b)
    torch.set_num_threads(threads)
    order = torch.randperm(700, generator=torch.Generator().manual_seed(threads))
    for function, (value, slope) in zip(functions, first, strict=True):
        assert torch.equal(function(x[..., order]), value[..., order])
        assert torch.equal(gradients(function, x[..., order], along[..., order]), slope[..., order])
    inner = torch.randperm(300, generator=torch.Generator().manual_seed(threads))
    assert torch.equal(matmul(a[..., inner], b[:, inner]), product)


def test_samples_of_a_batch_do_not_touch_each_other() -> None:
    x = torch.cat([numbers(59, 1, 4, 30), numbers(60, 1, 4, 30, scale=1e6)])
    for function in (softmax, sigmoid, lambda y: normalise(y, 1e-5), lambda y: matmul(y, y.mT)):
        assert torch.equal(function(x)[:1], function(x[:1]))
