"""Train the product's own deep hash of 64 bits: the shipped copy detector's features, projected so that edits do not
turn the bits::

    python -m provenance.training.edit_hash WORK

The features of every training picture and of edited copies of it are calculated once and kept in ``WORK``; what is
learnt is one layer over them, in minutes on a processor. The signs of a picture's numbers and of its copy's shall be
more alike than those of any two pictures (InfoNCE; SSCD: Pizzi et al., CVPR 2022), no two pictures near at all, every
bit as often one as zero, and no two bits the same (balance and decorrelation, as in spectral hashing: Weiss et al.,
NIPS 2008). The edits are the paper's (J.UCS 2023, section 4.3), drawn with any strength up to its strongest and put on
top of each other, and for one copy of three what sites and people do (``copy_augmentation``).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from torch import Tensor

from provenance.hashing.dinohash import squared
from provenance.images import edit_steps
from provenance.models.copy_net import ROBUST_HASH, load_hash_net
from provenance.models.edit_hash import BITS, EditHash
from provenance.training.artwork_pictures import Pictures, load_pictures
from provenance.training.copy_augmentation import random_copy
from provenance.training.copy_detection import contrast, entropy, rows_of, signs
from provenance.training.pictures import Part

RGB = npt.NDArray[np.uint8]

COPIES = 3
CACHE = "edit-hash"
PAIRS = 512
RATE = 2e-3
ENTROPY_WEIGHT, DECORRELATION_WEIGHT = 5.0, 20.0
_EXTRACTED = 64


def edited(pixels: RGB, random: np.random.Generator) -> RGB:
    """Return a copy under the paper's edits: turned up to 15 degrees, cut to 80 % or more of each side, noise of up to
    20 grey levels, mirrored; one or two of them."""
    for edit in random.choice(4, 1 + int(random.random() < 0.5), replace=False):
        if edit == 0:
            pixels = edit_steps.rotate(pixels, random, degrees=float(random.uniform(-16, 16)))
        elif edit == 1:
            pixels = edit_steps.restore_size(pixels, random, keep=float(random.uniform(0.78, 1)))
        elif edit == 2:
            pixels = edit_steps.noise(pixels, random, sigma=float(random.uniform(2, 25)))
        else:
            pixels = edit_steps.flip(pixels, random)
    return pixels


def features(net: EditHash, pictures: Pictures, part: Part, cache: Path) -> Tensor:
    """Return the trunk's features of a part's pictures and their copies, float32 ``[1 + COPIES, N, 1280]``, plain
    ones first; calculated in pieces that are kept in ``cache``, so that a killed run goes on."""
    rows, found = rows_of(pictures, part), []
    cache.mkdir(parents=True, exist_ok=True)
    pieces = np.array_split(rows, -(-len(rows) // _EXTRACTED))
    for number, piece in enumerate(track(pieces, f"Features, {part.value}")):
        file = cache / f"{part.value}-{number}.pt"
        if not file.exists():
            views = [np.stack([squared(pictures.pixels[row], net.side) for row in piece])]
            for copy in range(COPIES):
                random = np.random.Generator(np.random.Philox(key=[number, copy]))
                views.append(np.stack([_copy(pictures, int(row), rows, copy, net.side, random) for row in piece]))
            with torch.inference_mode():
                seen = [net.seen(torch.from_numpy(view).permute(0, 3, 1, 2).float() / 255) for view in views]
            torch.save(torch.stack(seen), file)
        found.append(torch.load(file, weights_only=True))
    return torch.cat(found, 1)


def tune_features(net: EditHash, pictures: Pictures, work: Path) -> Tensor:
    """Return :func:`features` of the tuning pictures."""
    return features(net, pictures, Part.TUNE, work / CACHE)


def _copy(
    pictures: Pictures,
    row: int,
    others: npt.NDArray[np.int64],
    copy: int,
    side: int,
    random: np.random.Generator,
) -> RGB:
    pixels = np.array(pictures.pixels[row])
    if copy == COPIES - 1:
        return random_copy(pixels, pictures.pixels[int(random.choice(others))], side, random)
    return squared(edited(pixels, random), side)


def loss(numbers: Tensor) -> Tensor:
    """Return the loss of unit vectors ``[2 N, BITS]``: row i and row i + N are of one picture."""
    soft = (numbers * BITS**0.5).tanh()
    balance = soft.mean(0).square().sum()
    correlation = (soft.T @ soft / len(soft)).fill_diagonal_(0).square().sum() / BITS
    alike = contrast(signs(numbers)) - ENTROPY_WEIGHT * entropy(numbers)
    result: Tensor = alike + DECORRELATION_WEIGHT * (balance + correlation)
    return result


def train(net: EditHash, seen: Tensor, tune: Tensor, steps: int) -> None:
    """Learn the last layer of features as :func:`features` returns them, and set the thresholds."""
    torch.manual_seed(0)
    with torch.no_grad():
        _, _, directions = torch.pca_lowrank(seen[0], BITS)
        net.head.weight.copy_(directions.T)
        net.head.bias.copy_(-seen[0].mean(0) @ directions)
    optimiser = torch.optim.AdamW(net.head.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps)
    began = time.monotonic()
    for step in range(1, steps + 1):
        rows = torch.randperm(seen.shape[1])[:PAIRS]
        one, other = torch.randint(seen.shape[0], (2, len(rows)))
        # The picture as it is registered is in every second pair.
        one[: len(rows) // 2] = 0
        value = loss(net.project(torch.cat([seen[one, rows], seen[other, rows]])))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        if step % 250 == 0 or step == steps:
            print(f"{step} of {steps}: {value.item():.3f}, {time.monotonic() - began:.0f} s; {figures(net, tune)}")
    with torch.no_grad():
        net.threshold.copy_(net.project(seen[0]).median(0).values)


@torch.no_grad()
def figures(net: EditHash, tune: Tensor) -> str:
    """Say of tuning pictures how many bits edits turn, how many differ between two, and how many are found first."""
    numbers = [net.project(each) for each in tune]
    bits = [each > numbers[0].median(0).values for each in numbers]
    apart = torch.cdist(bits[0].float(), bits[0].float(), p=0)
    strangers = apart[~torch.eye(len(apart), dtype=torch.bool)]
    words = [f"apart {strangers.mean():.1f}, equal codes {int((strangers == 0).sum()) // 2}"]
    for copy in bits[1:]:
        distance = torch.cdist(copy.float(), bits[0].float(), p=0)
        first = (distance.argmin(1) == torch.arange(len(distance))).float().mean()
        words.append(f"turned {distance.diagonal().mean():.1f} (first {first:.3f})")
    return "; ".join(words)


def main() -> None:
    """Run the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for caches and what comes out, outside the repository")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(0)
    net = EditHash(load_hash_net(ROBUST_HASH)).eval()
    pictures = load_pictures(arguments.work / "pictures")
    seen = features(net, pictures, Part.TRAIN, arguments.work / CACHE)
    train(net, seen, tune_features(net, pictures, arguments.work), arguments.steps)
    trained = {"head": net.head.state_dict(), "threshold": net.threshold, "steps": arguments.steps}
    torch.save(trained, arguments.work / "edit-hash.pt")


if __name__ == "__main__":
    main()
