"""The training of copy detectors: the losses point the right way, the copies are copies, no picture has two parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional

from provenance.training.copy_augmentation import random_copy
from provenance.training.copy_detection import contrast, entropy, signs
from provenance.training.pictures import Part, in_held_out_half, part_of


def test_contrast_falls_when_copies_are_near_and_others_far() -> None:
    pictures = functional.normalize(torch.randn(6, 32, generator=torch.Generator().manual_seed(0)))
    near = torch.cat([pictures, pictures])
    shuffled = torch.cat([pictures, pictures.roll(1, 0)])
    assert contrast(near) < 0.1 < contrast(shuffled)


def test_entropy_counts_the_nearest_that_is_no_copy() -> None:
    corners = torch.eye(4)
    spread = entropy(torch.cat([corners, corners]))
    assert spread.item() == pytest.approx(np.log(np.sqrt(2)), abs=1e-6)
    crowded = functional.normalize(corners + 5)
    assert entropy(torch.cat([crowded, crowded])) < spread


def test_signs_keep_a_gradient() -> None:
    vectors = torch.tensor([[0.6, -0.8]], requires_grad=True)
    found = signs(vectors)
    assert found.tolist() == [pytest.approx([2**-0.5, -(2**-0.5)])]
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    assert (vectors.grad > 0).all()


def test_random_copies_differ_by_seed_and_only_by_it() -> None:
    picture, other = data.astronaut(), data.chelsea()
    first, again, second = (
        random_copy(picture, other, 96, np.random.Generator(np.random.Philox(key=key))) for key in (1, 1, 2)
    )
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_every_part_has_its_share_and_training_keeps_off_the_held_out_half() -> None:
    names = [f"images/{number}.jpg" for number in range(4000)]
    shares = {part: sum(part_of(name) == part for name in names) / len(names) for part in Part}
    assert shares[Part.TRAIN] == pytest.approx(0.5, abs=0.03)
    assert shares[Part.TUNE] == pytest.approx(0.125, abs=0.02)
    assert shares[Part.TEST] == pytest.approx(0.375, abs=0.03)
    assert all((part_of(name) == Part.TRAIN) != in_held_out_half(name) for name in names)
