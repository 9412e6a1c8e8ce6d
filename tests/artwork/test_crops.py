"""The crops: the geometry that the words describe, exact weights, and a backward pass that is the transpose."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.ndimage import map_coordinates

from provenance.artwork.crops import Crops
from provenance.artwork.latent import Draws

RUN = bytes(range(32))
Floats = npt.NDArray[np.float64]


def crops(iteration: int = 0, *, count: int = 4, side: int = 32, crop_side: int = 24, run: bytes = RUN) -> Crops:
    return Crops(run, iteration, count=count, side=side, crop_side=crop_side)


def smooth_picture(side: int) -> torch.Tensor:
    y, x = np.mgrid[0:side, 0:side] / side
    planes = [
        127 + 120 * np.sin(3 * x + 2 * y),
        127 + 120 * np.cos(4 * y - x),
        255 * x * (1 - y),
    ]
    return torch.from_numpy(np.rint(np.stack(planes))[None].astype(np.float32))


def reference(picture: Floats, iteration: int, *, count: int, crop_side: int) -> Floats:
    """The same crops by sine, cosine and unrounded bilinear weights: float64 ``[K, 3, S, S]``.

    In sides of the picture: the canvas goes from -1 to 1 around the picture's middle.
    """
    side = picture.shape[1]
    turn, down, across, mirror = Draws(RUN, "turn", iteration).uniform(4)
    draws = Draws(RUN, "crops", iteration)
    normals = draws.normal(4 * count).reshape(count, 4).astype(np.float64)
    offsets = draws.uniform(2 * count).reshape(count, 2)
    angle = 2 * math.atan((2 * turn - 1) * math.tan(math.radians(15)))
    assert abs(math.degrees(angle)) <= 30
    made = []
    for normal, (top, left) in zip(normals, offsets, strict=True):
        size = min(max(1.2 + 0.3 * normal.sum() / 2, 0.43), 1.9)
        place = np.linspace(0, size, crop_side)
        rows, columns = np.meshgrid(top * (2 - size) - 1 + place, left * (2 - size) - 1 + place, indexing="ij")
        rows, columns = rows - 0.2 * (2 * down - 1), columns - 0.2 * (2 * across - 1)
        rows, columns = (
            math.cos(angle) * rows + math.sin(angle) * columns,
            math.cos(angle) * columns - math.sin(angle) * rows,
        )
        if mirror < 0.5:
            columns = -columns
        at = [(rows + 0.5) * side - 0.5, (columns + 0.5) * side - 0.5]
        made.append([map_coordinates(np.pad(plane, 2), [at[0] + 2, at[1] + 2], order=1) for plane in picture])
    return np.array(made)


def test_weights_are_whole_numbers_that_add_up_to_one_pixel() -> None:
    for iteration in range(6):
        made = crops(iteration)
        assert made.weights.shape == made.places.shape == (4, 4 * 24 * 24)
        assert (made.weights.sum(0) == 2**14).all()
        assert (made.weights >= 0).all()
        assert (made.weights == np.rint(made.weights)).all()
        assert made.places.min() >= 0
        assert made.places.max() <= 32 * 32


@pytest.mark.parametrize("iteration", range(6))
def test_crops_lie_where_the_words_say(iteration: int) -> None:
    """Weights in 128ths move a sample by up to a 128th of a pixel: on a smooth picture less than a grey level, at the
    picture's edge to the black around it up to four."""
    picture = smooth_picture(32)
    found = crops(iteration, count=5).cut(picture).numpy().astype(np.float64)
    expected = reference(picture[0].numpy().astype(np.float64), iteration, count=5, crop_side=24)
    assert found.shape == expected.shape == (5, 3, 24, 24)
    assert np.abs(found - expected).max() <= 4.1
    assert np.abs(found - expected).mean() < 0.25


def test_outside_the_picture_it_is_black() -> None:
    white = torch.full((1, 3, 32, 32), 255.0)
    seen_black = 0
    for iteration in range(6):
        made = crops(iteration)
        found = made.cut(white).numpy()
        outside = (made.places == 32 * 32).all(0).reshape(4, 1, 24, 24).repeat(3, 1)
        inside = (made.places < 32 * 32).all(0).reshape(4, 1, 24, 24).repeat(3, 1)
        assert (found[outside] == 0).all()
        assert (found[inside] == 255).all()
        assert found.min() >= 0
        assert found.max() <= 255
        seen_black += outside.sum()
    assert seen_black > 0


def test_sizes_turns_and_mirrors_vary_over_the_iterations() -> None:
    ramp = torch.arange(32.0).repeat(32, 1).expand(1, 3, 32, 32) * 8
    slopes = []
    for iteration in range(40):
        cut = crops(iteration, count=2).cut(ramp).numpy()[:, 0]
        slopes.append((np.median(np.diff(cut[:, 8:16], axis=2)[cut[:, 8:16, 1:] > 40]), iteration))
    signs = [slope > 0 for slope, _ in slopes]
    assert 8 < sum(signs) < 32
    sizes = [abs(slope) * 23 / 256 for slope, _ in slopes]
    assert min(sizes) < 1 < max(sizes) < 2


def test_keys_and_iterations_decide_and_nothing_else() -> None:
    picture = smooth_picture(32)
    first = crops(3).cut(picture)
    torch.manual_seed(99)
    np.random.seed(99)
    assert torch.equal(crops(3).cut(picture), first)
    assert not torch.equal(crops(4).cut(picture), first)
    assert not torch.equal(crops(3, run=bytes(32)).cut(picture), first)


def dense(made: Crops) -> Floats:
    """The forward pass as a matrix, one unit pixel after the other: ``[K * S * S, side * side]``."""
    columns = []
    for place in range(made.side**2):
        picture = torch.zeros(1, 3, made.side, made.side)
        picture[0, 0].view(-1)[place] = 1
        cut = made.cut(picture).numpy()
        assert (cut[:, 1:] == 0).all()
        columns.append(cut[:, 0].ravel())
    return np.stack(columns, 1).astype(np.float64)


def test_backward_is_the_transpose_of_forward() -> None:
    made = crops(2, count=3, side=12, crop_side=9)
    matrix = dense(made)
    random = np.random.Generator(np.random.Philox(key=3))
    gradient = random.integers(-(2**16), 2**16 + 1, (3, 3, 9, 9)).astype(np.float32)
    # The largest is the grid's own, so that nothing is rounded on the way in.
    gradient[0, 0, 0, 0] = 2**16
    picture = torch.zeros(1, 3, 12, 12, requires_grad=True)
    made.cut(picture).backward(torch.from_numpy(gradient))
    assert picture.grad is not None
    found = picture.grad.numpy().reshape(3, -1)
    for channel in range(3):
        expected = matrix.T @ gradient[:, channel].ravel().astype(np.float64)
        np.testing.assert_array_equal(found[channel], expected.astype(np.float32))


def test_inner_products_agree() -> None:
    """<A x, g> = <x, A' g>: in whole numbers, so to the last unit."""
    made = crops(5, count=2, side=16, crop_side=10)
    random = np.random.Generator(np.random.Philox(key=4))
    picture = torch.from_numpy(random.integers(0, 256, (1, 3, 16, 16)).astype(np.float32)).requires_grad_()
    # Few and large enough that float32 holds what comes back.
    gradient = np.where(random.random((2, 3, 10, 10)) < 0.05, 2.0**16, 0).astype(np.float32)
    cut = made.cut(picture)
    cut.backward(torch.from_numpy(gradient))
    assert picture.grad is not None
    forward = (cut.detach().double().numpy() * gradient).sum()
    backward = (picture.detach().double().numpy() * picture.grad.double().numpy()).sum()
    assert forward == backward != 0


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_gradients_of_any_size_come_back_to_a_ten_thousandth(scale: float) -> None:
    made = crops(1, count=2, side=12, crop_side=9)
    gradient = np.random.Generator(np.random.Philox(key=5)).standard_normal((2, 3, 9, 9)) * scale
    picture = torch.zeros(1, 3, 12, 12, requires_grad=True)
    made.cut(picture).backward(torch.from_numpy(gradient.astype(np.float32)))
    assert picture.grad is not None
    expected = gradient.transpose(1, 0, 2, 3).reshape(3, -1) @ dense(made)
    np.testing.assert_allclose(picture.grad.numpy().reshape(3, -1), expected, rtol=0, atol=8e-5 * scale)


def test_a_gradient_of_zeros_comes_back_as_zeros() -> None:
    made = crops(1, count=2, side=12, crop_side=9)
    picture = torch.zeros(1, 3, 12, 12, requires_grad=True)
    made.cut(picture).backward(torch.zeros(2, 3, 9, 9))
    assert picture.grad is not None
    assert torch.equal(picture.grad, torch.zeros(1, 3, 12, 12))


def test_how_tensors_lie_in_memory_does_not_matter() -> None:
    made = crops(1, count=2, side=12, crop_side=9)
    picture = smooth_picture(12)
    turned = picture.contiguous(memory_format=torch.channels_last)
    assert torch.equal(made.cut(picture), made.cut(turned))
    gradient = torch.from_numpy(np.random.Generator(np.random.Philox(key=6)).standard_normal((2, 3, 9, 9))).float()
    found = []
    for form in (torch.contiguous_format, torch.channels_last):
        leaf = picture.clone().requires_grad_()
        made.cut(leaf).backward(gradient.contiguous(memory_format=form))
        found.append(leaf.grad)
    assert torch.equal(found[0], found[1])
