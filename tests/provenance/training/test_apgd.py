"""The attack on hashes: it breaks what it should, within its budget, and what it reports is what was saved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from provenance.hashing.dinohash import squared
from provenance.training.apgd import Attack, apgd, checkpoints, collide, evade, objective, through_resizing
from tests.provenance.hashing.small_net import BITS, SIDE, small_net

ATTACK = Attack(iterations=20)


def squares(side: int = SIDE) -> Tensor:
    pictures = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    # Up to the edges of the range, where a ball is cut off.
    pictures.append((np.indices((64, 64)).sum(0) // 16 % 2 * 255).astype(np.uint8)[:, :, None].repeat(3, 2))
    return torch.from_numpy(np.stack([squared(picture, side) for picture in pictures])).permute(0, 3, 1, 2)


def bits_of(pixels: Tensor) -> Tensor:
    with torch.no_grad():
        bits: Tensor = small_net()(pixels.float() / 255) >= 0
    return bits


def test_checkpoints_are_the_papers() -> None:
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(10) == [3, 5, 6, 7, 8, 9, 10]
    assert checkpoints(1) == [1]


def test_evasion_turns_bits_that_noise_of_its_size_does_not() -> None:
    pixels, clean = squares(), bits_of(squares())
    found = evade(small_net(), pixels, ATTACK)
    noise = (torch.randint(0, 2, pixels.shape, generator=torch.Generator().manual_seed(0)) * 16 - 8).short()
    by_noise = (bits_of((pixels.short() + noise).clamp(0, 255).to(torch.uint8)) == clean).float().mean()
    assert by_noise > 0.9
    assert found.agreement.mean() < 0.8
    torch.testing.assert_close(found.on_target, 1 - found.agreement)


@pytest.mark.parametrize("levels", [8.0, 4.0, 2.5, 1.0])
@pytest.mark.parametrize("normalised", [False, True])
def test_the_budget_holds_for_what_is_saved_and_measured(levels: float, normalised: bool) -> None:
    pixels, clean = squares(), bits_of(squares())
    found = evade(small_net(), pixels, replace(ATTACK, eps=levels / 255, normalised=normalised))
    change = (found.pixels.int() - pixels.int()).abs()
    assert found.pixels.dtype == torch.uint8
    assert change.max() == int(levels)
    assert torch.equal(found.change, change.amax((1, 2, 3)).long())
    assert torch.equal(found.bits, bits_of(found.pixels))
    assert torch.equal(found.agreement, (bits_of(found.pixels) == clean).float().mean(1))


def test_a_larger_budget_turns_more() -> None:
    by_budget = [evade(small_net(), squares(), replace(ATTACK, eps=e / 255)).agreement.mean() for e in (1, 4, 16)]
    assert by_budget[0] > by_budget[1] > by_budget[2]


def test_a_collision_comes_nearer_to_the_hash_that_is_given() -> None:
    pixels = squares()
    target = bits_of(pixels).roll(1, 0)
    before = (bits_of(pixels) == target).float().mean(1)
    found = collide(small_net(), pixels, target, replace(ATTACK, eps=16 / 255))
    assert (found.on_target > before).all()
    assert found.on_target.mean() > 0.8
    assert torch.equal(found.on_target, (found.bits == target).float().mean(1))


def test_restarts_never_make_it_weaker() -> None:
    attack = replace(ATTACK, iterations=3, eps=4 / 255)
    once, thrice = (evade(small_net(), squares(), replace(attack, restarts=number)) for number in (1, 3))
    assert (thrice.on_target >= once.on_target).all()
    assert torch.equal(thrice.bits, bits_of(thrice.pixels))
    with pytest.raises(ValueError, match="at least one run"):
        evade(small_net(), squares(), replace(attack, restarts=0))


def test_the_best_iterate_is_kept() -> None:
    net, pixels = small_net(), squares().float() / 255
    target = ~(net(pixels) >= 0)
    short, long = (
        apgd(net, pixels, target, replace(ATTACK, iterations=number), torch.Generator().manual_seed(1))
        for number in (6, 7)
    )
    for best, value in (short, long):
        torch.testing.assert_close(objective(net(best), target, ATTACK), value)
        assert (best - pixels).abs().max() <= ATTACK.eps + 1e-6
        assert best.min() >= 0
        assert best.max() <= 1
    assert (short[1] > objective(net(pixels), target, ATTACK)).all()
    assert (apgd(net, pixels, target, ATTACK, torch.Generator().manual_seed(1))[1] >= short[1] - 1e-6).all()


def test_a_linear_hash_is_attacked_as_well_as_can_be() -> None:
    """The best place in the ball is known: every pixel moved by the whole radius against the weight's sign."""
    weights = torch.randn(1, 3 * 8 * 8, generator=torch.Generator().manual_seed(2))
    pixels = torch.full((1, 3, 8, 8), 0.5)
    target = torch.zeros(1, 1, dtype=torch.bool)
    best, _ = apgd(
        lambda x: x.flatten(1) @ weights.T, pixels, target, replace(ATTACK, scale=0.1), torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(best, pixels - ATTACK.eps * weights.sign().view(1, 3, 8, 8))


def test_each_picture_has_its_own_radius() -> None:
    net, pixels = small_net(), squares().float() / 255
    eps = torch.tensor([0.0, 1.0, 2.0, 4.0, 8.0]) / 255
    best, _ = apgd(net, pixels, net(pixels) < 0, ATTACK, torch.Generator().manual_seed(0), eps)
    torch.testing.assert_close((best - pixels).abs().amax((1, 2, 3)), eps, atol=1e-6, rtol=0)


def test_files_are_attacked_through_the_resizing() -> None:
    pixels = squares(3 * SIDE)
    logits = through_resizing(small_net(), SIDE)
    found = evade(logits, pixels, ATTACK)
    assert found.pixels.shape == pixels.shape
    assert found.bits.shape == (len(pixels), BITS)
    assert found.change.max() <= 8
    assert found.agreement.mean() < 0.9


def test_pictures_that_cannot_be_saved_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        evade(small_net(), squares().float() / 255, ATTACK)
