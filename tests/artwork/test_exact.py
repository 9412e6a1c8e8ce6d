"""Whole-number arithmetic: what it computes is integer arithmetic, in any order, and close to what it stands for."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input

from provenance.artwork import exact
from provenance.artwork.exact import (
    LIMIT,
    ExactConv2d,
    ExactLinear,
    NotExact,
    check_kernels,
    exact_sum,
    make_exact,
    square_root,
    to_grid,
)

Whole = npt.NDArray[np.int64]
CONVOLUTIONS = [
    # inputs, outputs, kernel, stride, padding, groups, side
    (16, 24, 3, 1, 1, 1, 9),
    (48, 12, 1, 1, 0, 1, 7),
    (24, 24, 3, 1, 1, 24, 8),
    (24, 24, 5, 2, 2, 24, 12),
    (3, 32, 3, 2, 0, 1, 13),
    (192, 192, 3, 1, 1, 1, 6),
    (8, 8, 4, 2, 1, 2, 8),
]


def numbers(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    random = np.random.Generator(np.random.Philox(key=seed))
    return torch.from_numpy((random.standard_normal(shape) * scale).astype(np.float32))


def convolution(seed: int, inputs: int, outputs: int, kernel: int, stride: int, padding: int, groups: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)
    with torch.no_grad():
        conv.weight.copy_(numbers(seed, *conv.weight.shape) / np.sqrt(conv.weight[0].numel()))
        assert conv.bias is not None
        conv.bias.copy_(numbers(seed + 1, outputs))
    return conv


def integer_convolution(x: Whole, w: Whole, stride: int, padding: int, groups: int) -> Whole:
    """A convolution of whole numbers by its definition; float64 holds all of them up to 2^53."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding))).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    each, made = w.shape[0] // groups, []
    for group, part in enumerate(np.split(windows, groups, 1)):
        weights = w[group * each : (group + 1) * each].astype(np.float64)
        made.append(np.tensordot(part, weights, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2))
    return np.concatenate(made, 1).astype(np.int64)


def relative(found: Tensor, expected: Tensor) -> float:
    """The error's root mean square as a share of the signal's."""
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def gradients(module: Callable[[Tensor], Tensor], x: Tensor, along: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    module(leaf).backward(along)
    assert leaf.grad is not None
    return leaf.grad


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not looked at its kernels yet."""
    monkeypatch.setattr(exact, "_checked", threading.Event())


@pytest.mark.parametrize("levels", [1.0, 7.0, 127.0, 4096.0, 2.0**21])
@pytest.mark.parametrize("scale", [1e-25, 1e-6, 1.0, 1e6, 1e37])
def test_a_grid_is_whole_numbers_within_its_levels(levels: float, scale: float) -> None:
    x = numbers(1, 3, 5, 7, scale=scale)
    whole, step = to_grid(x, levels)
    assert torch.equal(whole, whole.round())
    assert step.shape == (3, 1, 1)
    assert torch.equal(whole.abs().amax((1, 2)), torch.full((3,), levels))
    error = (whole.double() * step.double() - x.double()).abs() / step.double()
    assert error.max() <= 0.5 + levels * 2e-7


def test_each_sample_has_a_grid_of_its_own() -> None:
    x = numbers(2, 2, 10)
    whole, step = to_grid(torch.cat([x, x * 1000, x[:1] * 0]), 100.0)
    assert torch.equal(whole[:2], whole[2:4])
    torch.testing.assert_close(step[2:4], step[:2] * 1000)
    assert torch.equal(whole[4], torch.zeros(10))


@pytest.mark.parametrize("tiny", [0.0, 1e-45, 1e-42, 1e-38, 1e-36, 3e-30])
def test_next_to_nothing_is_nothing_and_never_infinite(tiny: float) -> None:
    x = torch.tensor([[tiny, -tiny, 0.0], [1.0, -1.0, 0.5]])
    whole, step = to_grid(x, 4096.0)
    assert torch.isfinite(whole).all()
    assert torch.isfinite(step).all()
    torch.testing.assert_close(whole * step, x, rtol=1e-3, atol=1e-27)
    conv = ExactConv2d(convolution(1, 4, 4, 3, 1, 1, 1))
    conv.bias = None
    for size in (tiny, -tiny):
        image = torch.full((1, 4, 5, 5), size)
        assert torch.isfinite(conv(image)).all()
        assert torch.isfinite(gradients(conv, image, image)).all()
    assert torch.isfinite(exact_sum(x, (1,))).all()


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "stride", "padding", "groups", "side"), CONVOLUTIONS)
def test_convolutions_are_integer_arithmetic(
    inputs: int, outputs: int, kernel: int, stride: int, padding: int, groups: int, side: int
) -> None:
    """At the largest numbers that its levels allow, in both directions."""
    made = ExactConv2d(convolution(7, inputs, outputs, kernel, stride, padding, groups))
    made.bias = None
    random = np.random.Generator(np.random.Philox(key=8))
    levels, back_levels = int(made.levels), int(made.back_levels)
    assert min(levels, back_levels) > 50
    x = random.integers(-levels, levels + 1, (2, inputs, side, side))
    x[:, 0, 0, 0] = levels
    w = made.weight.numpy().astype(np.int64)
    whole = integer_convolution(x, w, stride, padding, groups)
    assert np.abs(whole).max() < LIMIT
    image = torch.from_numpy(x).float()
    expected = torch.from_numpy(whole).float() * made.scale[:, None, None]
    assert torch.equal(made(image), expected)

    made.scale = torch.ones_like(made.scale)
    g = random.integers(-back_levels, back_levels + 1, whole.shape)
    g[:, 0, 0, 0] = back_levels
    # The transpose by its definition: what each sample of x contributes.
    found = gradients(made, image, torch.from_numpy(g).float()).numpy().astype(np.int64)
    probe = np.zeros_like(x[:1])
    for place in itertools.product((0, inputs // 2, inputs - 1), (0, side // 2, side - 1), (0, 1, side - 1)):
        probe[(0, *place)] = 1
        seen = integer_convolution(probe, w, stride, padding, groups)
        probe[(0, *place)] = 0
        for sample in range(2):
            assert found[(sample, *place)] == (seen[0] * g[sample]).sum()


def test_no_sum_can_leave_the_exact_range() -> None:
    """The worst input of all, every product of one sign, is still below 2^24."""
    for conv in (convolution(9, 192, 64, 3, 1, 1, 1), convolution(9, 1000, 4, 1, 1, 0, 1)):
        made = ExactConv2d(conv)
        magnitude = made.weight.abs().double()
        assert magnitude.max() == 127
        assert (magnitude.sum((1, 2, 3)) * made.levels).max() <= LIMIT
        assert (magnitude.sum((0, 2, 3)) * made.back_levels).max() <= LIMIT
    linear = ExactLinear(nn.Linear(1280, 512))
    assert (linear.weight.abs().sum(1) * linear.levels).max() <= LIMIT
    assert (linear.weight.abs().sum(0) * linear.back_levels).max() <= LIMIT


def test_linear_maps_are_integer_arithmetic() -> None:
    linear = ExactLinear(nn.Linear(1280, 64))
    linear.bias = None
    random = np.random.Generator(np.random.Philox(key=10))
    x = random.integers(-int(linear.levels), int(linear.levels) + 1, (3, 1280))
    x[:, 0] = int(linear.levels)
    w = linear.weight.numpy().astype(np.int64)
    expected = torch.from_numpy(x @ w.T).float() * linear.scale
    assert torch.equal(linear(torch.from_numpy(x).float()), expected)
    linear.scale = torch.ones_like(linear.scale)
    g = random.integers(-int(linear.back_levels), int(linear.back_levels) + 1, (3, 64))
    g[:, 0] = int(linear.back_levels)
    found = gradients(linear, torch.zeros(3, 1280), torch.from_numpy(g).float())
    assert torch.equal(found, torch.from_numpy(g @ w).float())


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_neither_order_nor_threads_change_a_bit(threads: int) -> None:
    conv, linear = convolution(11, 96, 64, 3, 1, 1, 1), nn.Linear(1280, 512)
    x, features = numbers(12, 2, 96, 33, 17), numbers(13, 4, 1280)
    along, across = numbers(14, 2, 64, 33, 17), numbers(15, 4, 512)
    torch.set_num_threads(1)
    first = ExactConv2d(conv)(x), ExactLinear(linear)(features)
    first_back = gradients(ExactConv2d(conv), x, along), gradients(ExactLinear(linear), features, across)
    sums = exact_sum(x, (1, 2, 3)), exact_sum(x, (2, 3))
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(threads)
    order, wide = torch.randperm(96, generator=generator), torch.randperm(1280, generator=generator)
    outputs, narrow = torch.randperm(64, generator=generator), torch.randperm(512, generator=generator)
    shuffled_conv, shuffled = convolution(11, 96, 64, 3, 1, 1, 1), nn.Linear(1280, 512)
    with torch.no_grad():
        shuffled_conv.weight.copy_(conv.weight[outputs][:, order])
        shuffled_conv.bias.copy_(conv.bias[outputs])  # type: ignore[index, union-attr]
        shuffled.weight.copy_(linear.weight[narrow][:, wide])
        shuffled.bias.copy_(linear.bias[narrow])
    assert torch.equal(ExactConv2d(shuffled_conv)(x[:, order]), first[0][:, outputs])
    assert torch.equal(ExactLinear(shuffled)(features[:, wide]), first[1][:, narrow])
    back = gradients(ExactConv2d(shuffled_conv), x[:, order], along[:, outputs])
    assert torch.equal(back, first_back[0][:, order])
    assert torch.equal(gradients(ExactLinear(shuffled), features[:, wide], across[:, narrow]), first_back[1][:, wide])
    assert torch.equal(exact_sum(x[:, order].flip(2, 3), (1, 2, 3)), sums[0])
    assert torch.equal(exact_sum(x.transpose(2, 3).flip(3), (2, 3)), sums[1])
    # Stock sums of the same numbers do depend on their order: the test can tell.
    assert not torch.equal(x[:, order].flip(2, 3).sum((1, 2, 3)), x.sum((1, 2, 3)))


def test_how_tensors_lie_in_memory_does_not_matter() -> None:
    conv = ExactConv2d(convolution(16, 24, 16, 3, 1, 1, 1))
    x, along = numbers(17, 2, 24, 11, 9), numbers(18, 2, 16, 11, 9)
    turned, turned_along = (part.contiguous(memory_format=torch.channels_last) for part in (x, along))
    assert torch.equal(conv(x), conv(turned))
    assert torch.equal(gradients(conv, x, along), gradients(conv, turned, turned_along))
    assert torch.equal(conv(x[1:]), conv(x)[1:])


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "stride", "padding", "groups", "side"), CONVOLUTIONS)
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_convolutions_are_close_to_the_real_ones(
    inputs: int, outputs: int, kernel: int, stride: int, padding: int, groups: int, side: int, scale: float
) -> None:
    """Weights of eight bits cost about half a per cent, forward and backward."""
    conv = convolution(19, inputs, outputs, kernel, stride, padding, groups).double()
    assert conv.bias is not None
    with torch.no_grad():
        conv.bias.mul_(scale)
    made = ExactConv2d(conv)
    x = numbers(20, 2, inputs, side, side, scale=scale)
    expected = conv(x.double()).detach()
    assert relative(made(x), expected) < 0.01
    along = numbers(21, *expected.shape, scale=scale)
    assert relative(gradients(made, x, along), gradients(conv, x.double(), along.double())) < 0.015


def test_linear_maps_are_close_to_the_real_ones() -> None:
    linear = nn.Linear(1280, 512).double()
    made = ExactLinear(linear)
    x, along = numbers(22, 2, 3, 1280), numbers(23, 2, 3, 512)
    assert relative(made(x), linear(x.double()).detach()) < 0.01
    assert relative(gradients(made, x, along), gradients(linear, x.double(), along.double())) < 0.015


def test_weights_that_are_zero_stay_zero() -> None:
    conv = nn.Conv2d(4, 3, 3)
    nn.init.zeros_(conv.weight)
    assert torch.equal(ExactConv2d(conv)(numbers(1, 1, 4, 5, 5)), conv(torch.zeros(1, 4, 5, 5)))
    linear = nn.Linear(4, 3, bias=False)
    nn.init.zeros_(linear.weight)
    assert torch.equal(ExactLinear(linear)(numbers(1, 2, 4)), torch.zeros(2, 3))


def test_fed_convolutions_do_what_relu6_between_them_does() -> None:
    first, second = convolution(24, 8, 16, 3, 1, 1, 1), convolution(25, 16, 16, 3, 1, 1, 16)
    third = convolution(26, 16, 4, 1, 1, 0, 1)
    with torch.no_grad():
        # Far enough to be clipped on both sides.
        first.weight.mul_(4)
        second.weight.mul_(3)
    chain = [ExactConv2d(conv) for conv in (first, second, third)]
    chain[0].feed(chain[1], 6.0)
    chain[1].feed(chain[2], 6.0)
    x, along = numbers(27, 2, 8, 12, 12), numbers(28, 2, 4, 12, 12)

    weights = [conv.weight.detach().double() for conv in (first, second, third)]
    biases = [conv.bias.detach().double() for conv in (first, second, third) if conv.bias is not None]
    real = nn.functional.relu6(conv2d(x.double(), weights[0], biases[0], padding=1))
    real = nn.functional.relu6(conv2d(real, weights[1], biases[1], padding=1, groups=16))
    real = conv2d(real, weights[2], biases[2])
    early = chain[0](x)
    late = chain[1](early)
    for hidden, following in ((early, chain[1]), (late, chain[2])):
        assert torch.equal(hidden, hidden.round())
        assert hidden.min() == 0
        assert hidden.max() == following.levels
    assert relative(chain[2](late), real) < 0.02

    # Back, clipped where the rounded values are: next to the edges the real ones may lie on the other side.
    back = conv2d_input(late.shape, weights[2], along.double())
    back = back * ((late > 0) & (late < chain[2].levels))
    back = conv2d_input(early.shape, weights[1], back, padding=1, groups=16)
    back = back * ((early > 0) & (early < chain[1].levels))
    back = conv2d_input(x.shape, weights[0], back, padding=1)
    assert relative(gradients(lambda y: chain[2](chain[1](chain[0](y))), x, along), back) < 0.02


def test_sums_are_exact_to_their_steps() -> None:
    for shape, dims in (((3, 1000), (1,)), ((2, 5, 64, 64), (2, 3)), ((2, 7, 9), (1, 2))):
        for scale in (1e-20, 1.0, 1e20):
            x = numbers(29, *shape, scale=scale)
            found = exact_sum(x, dims)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found.double(), x.double().sum(dims, keepdim=True), rtol=1e-6, atol=1e-6 * scale)
    whole = torch.from_numpy(np.random.Generator(np.random.Philox(key=30)).integers(-1000, 1001, (2, 5000))).float()
    whole[:, 0] = 1024
    assert torch.equal(exact_sum(whole, (1,)), whole.double().sum(1, keepdim=True).float())


def test_the_gradient_of_a_sum_goes_to_every_addend() -> None:
    along = numbers(31, 3, 4, 1, 1)
    found = gradients(lambda x: exact_sum(x, (2, 3)), numbers(32, 3, 4, 5, 6), along)
    assert torch.equal(found, along.expand(3, 4, 5, 6))


def test_make_exact_reaches_every_layer() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(36, 2))
    )
    made = make_exact(net)
    assert made is net
    assert not [part for part in made.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len([part for part in made.modules() if isinstance(part, ExactConv2d | ExactLinear)]) == 3
    assert isinstance(make_exact(nn.Conv2d(1, 1, 1)), ExactConv2d)
    assert isinstance(make_exact(nn.Linear(1, 1)), ExactLinear)


def test_this_machines_kernels_pass(unchecked: None) -> None:
    check_kernels()


def test_kernels_are_checked_once_a_process(unchecked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    check_kernels()
    monkeypatch.setattr(torch.nn.functional, "conv2d", None)
    check_kernels()


def rounded(x: Tensor) -> Tensor:
    return x.bfloat16().float()


def winograd(x: Tensor, w: Tensor, bias: Tensor | None = None, **options: int) -> Tensor:
    """A row convolution through F(2, 3): fewer products of sums and thirds that float32 cannot hold."""
    assert (options, x.shape[3]) == ({"padding": 1}, 7)
    padded = nn.functional.pad(x, (1, 2, 1, 1))
    to_data = torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    to_weight = torch.tensor([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1 / 3, -1 / 3, 1 / 3], [0, 0, 1]])
    back = torch.tensor([[1.0, 1.5, 1.5, 0], [0, 1.5, -1.5, -1]])
    tiles = padded.unfold(3, 4, 2) @ to_data.T
    sums = torch.stack(
        [conv2d(tiles[..., k], (w @ to_weight.T)[..., k : k + 1], bias) for k in range(4)],
        -1,
    )
    return (sums @ back.T).flatten(3)[..., :7]


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (torch.nn.functional, "conv2d", lambda x, w, *rest, **more: conv2d(rounded(x), rounded(w), *rest, **more)),
        (torch.nn.functional, "conv2d", lambda x, w, *rest, **more: conv2d(x, w, *rest, **more) * (1 + 2**-23)),
        (torch.nn.functional, "conv2d", winograd),
        (
            exact,
            "conv2d_input",
            lambda shape, w, g, **more: conv2d_input(shape, w, rounded(g), **more),
        ),
        (torch.Tensor, "__matmul__", lambda a, b: torch.mm(rounded(a), b)),
        (torch.Tensor, "__matmul__", lambda a, b: torch.mm(a, b) + torch.eye(8, 512)),
    ],
    ids=["rounded operands", "last bit", "Winograd", "rounded gradients", "rounded factors", "off by one"],
)
def test_kernels_that_are_not_exact_are_found(
    unchecked: None, monkeypatch: pytest.MonkeyPatch, where: object, name: str, broken: Callable[..., Tensor]
) -> None:
    monkeypatch.setattr(where, name, broken)
    for _ in range(2):
        with pytest.raises(NotExact):
            check_kernels()


def test_the_winograd_of_this_test_is_a_convolution() -> None:
    x, w = numbers(33, 2, 6, 5, 7), numbers(34, 4, 6, 3, 3)
    torch.testing.assert_close(winograd(x, w, padding=1), conv2d(x, w, padding=1), rtol=1e-4, atol=1e-4)


def test_square_roots_are_rounded_correctly() -> None:
    """Against whole-number roots: the right one is the float32 nearest to the true root, and no root lies half way."""
    random = np.random.Generator(np.random.Philox(key=11))
    x = (random.random(20_000) * 10.0 ** random.uniform(-30, 30, 20_000)).astype(np.float32)
    found = square_root(torch.from_numpy(x)).numpy()
    assert found.dtype == np.float32
    for value, root in zip(x.tolist(), found, strict=True):
        below, above = (
            (Fraction(float(root)) + Fraction(float(np.nextafter(root, np.float32(end))))) / 2 for end in (0, np.inf)
        )
        assert below * below < Fraction(value) < above * above
    assert square_root(torch.tensor([0.0, 4.0])).tolist() == [0.0, 2.0]


def test_batches_of_sixteen_are_exact_without_onednn() -> None:
    """There PyTorch takes NNPACK, whose way of convolving rounds, unless it is switched off."""
    check_kernels()
    random = np.random.Generator(np.random.Philox(key=12))
    x = torch.from_numpy(random.integers(-1500, 1501, (16, 24, 13, 13))).float()
    weights = torch.from_numpy(random.integers(-40, 41, (24, 24, 3, 3))).float()
    with torch.backends.mkldnn.flags(enabled=False):
        found = conv2d(x, weights, padding=1)
        torch.backends.nnpack.set_flags(True)
        rounded = conv2d(x, weights, padding=1)
        torch.backends.nnpack.set_flags(False)
    right = conv2d(x.double(), weights.double(), padding=1)
    assert torch.equal(found.double(), right)
    if torch.backends.nnpack.is_available():
        assert not torch.equal(rounded.double(), right), "it need not be switched off any more"
