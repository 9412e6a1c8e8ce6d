"""Attack a perceptual hash through its gradients: what an edit that nobody sees can do to the bits at worst.

APGD: Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks" (ICML 2020), algorithm 1, in the L-infinity ball around a picture: the step starts at twice the radius and is
halved where it does not pay, with a momentum of 0.75, and the best iterate of each picture is kept. Everything is
measured in pixels from 0 to 1 before any normalisation, and the result is what can be saved: 8 bits a channel, within
the radius, hashed anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Logits = Callable[[Tensor], Tensor]

_MOMENTUM = 0.75
# The step is halved unless the loss grew in this share of the iterations since the last checkpoint.
_RHO = 0.75
# Checkpoints in shares of the iterations: the first, how much each interval is shorter than the last, the shortest.
_FIRST, _SHORTER, _SHORTEST = 0.22, 0.03, 0.06
_LEVELS = 255


@dataclass(frozen=True)
class Attack:
    """How hard to try.

    Attributes:
        eps: radius of the L-infinity ball, pixels from 0 to 1.
        iterations: gradient steps of each run.
        restarts: runs from different random starts; of each picture the best counts.
        scale: logits are multiplied by it before the cross-entropy: the greater, the less a bit counts once it is won.
        normalised: bring each picture's logits to length 1 before that, for nets whose logits are of another size.
        seed: of the random starts.
    """

    eps: float = 8 / 255
    iterations: int = 100
    restarts: int = 1
    scale: float = 20.0
    normalised: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Attacked:
    """What came of an attack, measured on the 8-bit pictures.

    Attributes:
        pixels: uint8 ``[B, 3, H, W]``.
        bits: bool ``[B, bits]``, of those.
        agreement: float ``[B]``, share of the bits that are still those of the clean picture.
        on_target: float ``[B]``, share of the bits that are as the attack wanted them.
        change: int64 ``[B]``, the greatest difference of a channel from the clean picture, in levels of 255.
    """

    pixels: Tensor
    bits: Tensor
    agreement: Tensor
    on_target: Tensor
    change: Tensor


def evade(logits: Logits, pixels: Tensor, attack: Attack) -> Attacked:
    """Push every bit of each picture to its complement.

    Args:
        logits: a HashNet or any map of float ``[B, 3, H, W]`` in [0, 1] to ``[B, bits]`` with gradients.
        pixels: uint8 ``[B, 3, H, W]``.
    """
    with torch.no_grad():
        bits = logits(_as_float(pixels)) >= 0
    return _attack(logits, pixels, bits, ~bits, attack)


def collide(logits: Logits, pixels: Tensor, target: Tensor, attack: Attack) -> Attacked:
    """Push each picture towards a given hash, such as that of somebody's registered picture.

    Args:
        logits: as for :func:`evade`.
        pixels: uint8 ``[B, 3, H, W]``.
        target: bool ``[B, bits]``.
    """
    with torch.no_grad():
        bits = logits(_as_float(pixels)) >= 0
    return _attack(logits, pixels, bits, target.bool(), attack)


def through_resizing(logits: Logits, side: int) -> Logits:
    """Return a map from pictures of any one size, for attacks on the file and not on what the net sees of it."""

    def resized(pixels: Tensor) -> Tensor:
        return logits(functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True))

    return resized


def objective(logits: Tensor, target: Tensor, attack: Attack) -> Tensor:
    """Return what the attack raises, ``[B]``: minus the mean cross-entropy of the wanted bits ``[B, bits]``."""
    if attack.normalised:
        logits = functional.normalize(logits)
    wanted = target.to(logits.dtype)
    return -functional.binary_cross_entropy_with_logits(attack.scale * logits, wanted, reduction="none").mean(1)


def checkpoints(iterations: int) -> list[int]:
    """Return after which iterations the step is looked at, ascending."""
    before, share = 0.0, _FIRST
    found = []
    while share <= 1:
        found.append(math.ceil(share * iterations - 1e-9))
        before, share = share, share + max(share - before - _SHORTER, _SHORTEST)
    return sorted(set(found))


def apgd(
    logits: Logits,
    pixels: Tensor,
    target: Tensor,
    attack: Attack,
    random: torch.Generator,
    eps: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run the attack once.

    Args:
        logits: as for :func:`evade`.
        pixels: float ``[B, 3, H, W]`` in [0, 1].
        target: the wanted bits, bool ``[B, bits]``.
        random: of the start; on the CPU.
        eps: a radius of its own for each picture, ``[B]``, instead of the attack's.

    Returns:
        Of each picture the iterate with the highest objective, float, within the ball and [0, 1]; and that objective.
    """
    radius = (torch.full((len(pixels),), attack.eps) if eps is None else eps).to(pixels).view(-1, 1, 1, 1)
    low, high = (pixels - radius).clamp(min=0), (pixels + radius).clamp(max=1)

    def measure(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            value = objective(logits(x), target, attack)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    direction = (torch.rand(pixels.shape, generator=random) * 2 - 1).to(pixels)
    direction /= direction.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    x = previous = torch.clamp(pixels + radius * direction, low, high)
    value, gradient = measure(x)
    best, best_value, best_gradient = x.clone(), value.clone(), gradient.clone()
    step = 2 * radius
    best_before, halved_before = best_value.clone(), torch.ones_like(value, dtype=torch.bool)
    increases, last = torch.zeros_like(value), 0
    looks = set(checkpoints(attack.iterations))
    for iteration in range(1, attack.iterations + 1):
        ahead = torch.clamp(x + step * gradient.sign(), low, high)
        if iteration > 1:
            ahead = torch.clamp(x + _MOMENTUM * (ahead - x) + (1 - _MOMENTUM) * (x - previous), low, high)
        previous, x, value_before = x, ahead, value
        value, gradient = measure(x)
        increases += value > value_before
        better = value > best_value
        best[better], best_value[better], best_gradient[better] = x[better], value[better], gradient[better]
        if iteration in looks:
            unchanged = ~halved_before & (best_value <= best_before)
            halve = (increases < _RHO * (iteration - last)) | unchanged
            step = torch.where(halve.view(-1, 1, 1, 1), step / 2, step)
            x = torch.where(halve.view(-1, 1, 1, 1), best, x)
            gradient = torch.where(halve.view(-1, 1, 1, 1), best_gradient, gradient)
            value = torch.where(halve, best_value, value)
            best_before, halved_before = best_value.clone(), halve
            increases, last = torch.zeros_like(increases), iteration
    return best, best_value


def _attack(logits: Logits, pixels: Tensor, clean: Tensor, target: Tensor, attack: Attack) -> Attacked:
    random = torch.Generator().manual_seed(attack.seed)
    kept: Attacked | None = None
    for _ in range(attack.restarts):
        best, _value = apgd(logits, _as_float(pixels), target, attack, random)
        found = _as_saved(logits, pixels, best, clean, target, attack.eps)
        kept = found if kept is None else _better(kept, found)
    if kept is None:
        raise ValueError("an attack needs at least one run")
    return kept


def _as_saved(logits: Logits, pixels: Tensor, best: Tensor, clean: Tensor, target: Tensor, eps: float) -> Attacked:
    """Round to 8 bits without leaving the ball, and measure again."""
    levels = math.floor(eps * _LEVELS + 1e-6)
    whole = pixels.long()
    rounded = (best * _LEVELS).round().long()
    rounded = torch.clamp(rounded, (whole - levels).clamp(min=0), (whole + levels).clamp(max=_LEVELS))
    change = (rounded - whole).abs().amax((1, 2, 3))
    if int(change.max()) > levels:
        raise RuntimeError(f"a picture was changed by {int(change.max())} levels, and {levels} were allowed")
    saved = rounded.to(torch.uint8)
    with torch.no_grad():
        bits = logits(_as_float(saved)) >= 0
    return Attacked(
        pixels=saved,
        bits=bits,
        agreement=(bits == clean).float().mean(1),
        on_target=(bits == target).float().mean(1),
        change=change,
    )


def _better(one: Attacked, other: Attacked) -> Attacked:
    take = other.on_target > one.on_target

    def merged(name: str) -> Tensor:
        mine, theirs = getattr(one, name), getattr(other, name)
        return torch.where(take.view(-1, *[1] * (mine.ndim - 1)), theirs, mine)

    return Attacked(**{name: merged(name) for name in Attacked.__dataclass_fields__})


def _as_float(pixels: Tensor) -> Tensor:
    if pixels.dtype != torch.uint8:
        raise ValueError("pictures are uint8: a budget means nothing for what cannot be saved")
    return pixels.float() / _LEVELS
