"""Train the injector and the detector of the robust signature together::

    python -m provenance.training.robust_signature WORK
    python -m provenance.training.robust_signature WORK --device cuda --steps 200000 --batch 128

Each step lays the pattern of random bits over pictures, at a random place of its tile; the injector makes of it what is
added to them, at a strength drawn from a range of PSNR; signed pictures are turned, scaled, cut, rounded to 8 bits and
edited; the detector says what the pattern is at every pixel of what is left, and both networks lower the mean squared
error of that, in units of the pattern's variance. The bits themselves are read from the detector's map by correlation,
in ``provenance.watermark.read``, which has nothing to learn.

Pictures: the training part of flickr8k.tar and caltech101.tar, cached in ``WORK/signature-pictures.npy``. Checkpoints
go to ``WORK/robust-signature.pt``, and a run goes on from there, the curve to ``WORK/robust-signature.jsonl``;
``provenance.training.ship_signature`` takes both.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from provenance.models.signature_nets import Injector, SignatureDetector
from provenance.training.devices import device
from provenance.training.pictures import encoded_pictures
from provenance.training.signature_edits import degraded, draw_geometry, warped
from provenance.watermark.pattern import CANONICAL_SIDE, RAW_BITS, TILE, tile

_ARCHIVES = ("flickr8k.tar", "caltech101.tar")
# Of every picture at its canonical size, the middle square of this side is kept.
_KEPT = 208
_REPORT, _KEEP = 25, 100


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training.

    Attributes:
        steps: of the optimiser.
        batch: pictures a step.
        rate: highest learning rate; after ``warm_up`` steps it falls to 2 % of that in a cosine.
        warm_up: steps of linear growth to it.
        source: side of the piece of a picture that is signed, pixels at canonical size.
        target: side of what the detector sees.
        psnr: least and most decibels of the signed pictures.
        seed: of all draws.
    """

    steps: int = 12_000
    batch: int = 12
    rate: float = 2e-3
    warm_up: int = 200
    source: int = 176
    target: int = 128
    psnr: tuple[float, float] = (41.5, 46.5)
    seed: int = 1


def canonical(image: Image.Image) -> Image.Image:
    """Return the picture in RGB at the canonical area, both sides rounded to even numbers."""
    factor = CANONICAL_SIDE / math.sqrt(image.width * image.height)
    size = (max(2, 2 * round(image.width * factor / 2)), max(2, 2 * round(image.height * factor / 2)))
    return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def load(work: Path) -> npt.NDArray[np.uint8]:
    """Return the pictures to train with, uint8 ``[N, 208, 208, 3]``, made once and read from WORK from then on."""
    path = work / "signature-pictures.npy"
    if not path.is_file():
        kept = []
        for archive in _ARCHIVES:
            for _, encoded in encoded_pictures(archive, held_out=False):
                image = canonical(Image.open(io.BytesIO(encoded)))
                if min(image.size) >= _KEPT:
                    left, top = (image.width - _KEPT) // 2, (image.height - _KEPT) // 2
                    kept.append(np.asarray(image.crop((left, top, left + _KEPT, top + _KEPT))))
        part = path.with_suffix(".part.npy")
        np.save(part, np.stack(kept))
        part.rename(path)
    pictures: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return pictures


def strength(psnr: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the root mean square of a change, pixels from 0 to 1, that leaves a PSNR of so many decibels."""
    return np.asarray(10 ** (-np.asarray(psnr, np.float64) / 20))


def signed_batch(
    pictures: npt.NDArray[np.uint8], injector: Injector, recipe: Recipe, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draw and sign pictures: signed ``[B,3,S,S]`` in 0..1 and their patterns ``[B,1,S,S]``, S = ``recipe.source``."""
    side = recipe.source
    plain, patterns = [], []
    for index in random.integers(0, len(pictures), recipe.batch):
        top, left = random.integers(0, _KEPT - side + 1, 2)
        piece = pictures[index, top : top + side, left : left + side]
        plain.append(piece[:, ::-1] if random.random() < 0.5 else piece)
        one = tile(random.random(RAW_BITS) < 0.5)
        down, across = random.integers(0, TILE, 2)
        patterns.append(np.tile(np.roll(one, (down, across), (0, 1)), (2, 2))[:side, :side])
    pixels = torch.from_numpy(np.stack(plain)).permute(0, 3, 1, 2).float() / 255
    pattern = torch.from_numpy(np.stack(patterns))[:, None].float()
    gain = torch.from_numpy(strength(random.uniform(*recipe.psnr, recipe.batch))).float().view(-1, 1, 1, 1)
    return (pixels + gain * injector(pixels, pattern)).clamp(0, 1), pattern


def rate_at(step: int, steps: int, rate: float, warm_up: int) -> float:
    """Return the learning rate of a step, 0 being the first: linear growth, then a cosine down to 2 %."""
    fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))
    return rate * min(1.0, (step + 1) / warm_up) * fall


def pattern_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean over maps ``[B,1,H,W]`` of the squared error in units of the wanted pattern's variance."""
    error: Tensor = (found - wanted).square().mean((1, 2, 3)) / wanted.square().mean((1, 2, 3)).clamp_min(1e-3)
    return error.mean()


def train(work: Path, recipe: Recipe, device: torch.device) -> None:
    """Train, or go on training, in the folder ``work``."""
    torch.manual_seed(recipe.seed)
    pictures = load(work)
    injector, detector = Injector().to(device), SignatureDetector().to(device)
    parameters = [*injector.parameters(), *detector.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=1e-4)
    checkpoint, curve = work / "robust-signature.pt", work / "robust-signature.jsonl"
    step = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        injector.load_state_dict(state["injector"])
        detector.load_state_dict(state["detector"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
    losses: list[float] = []
    began = time.monotonic()
    while step < recipe.steps:
        # Drawn by the step, so that a run that was stopped goes on with the same pictures.
        random = np.random.default_rng((recipe.seed, step))
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, recipe.steps, recipe.rate, recipe.warm_up)
        signed, pattern = signed_batch(pictures, injector, recipe, random)
        maps = draw_geometry(recipe.batch, recipe.source, recipe.target, random)
        both = warped(torch.cat([signed, pattern], 1), maps, recipe.target)
        edited = degraded(both[:, :3], random)
        loss = pattern_error(detector(edited), both[:, 3:].detach())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        step += 1
        losses.append(float(loss.detach()))
        if step % _REPORT == 0:
            line = {"step": step, "loss": round(float(np.mean(losses)), 5), "seconds": round(time.monotonic() - began)}
            losses.clear()
            with curve.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
        if step % _KEEP == 0 or step == recipe.steps:
            part = checkpoint.with_suffix(".part")
            torch.save({"injector": injector.state_dict(), "detector": detector.state_dict(),
                        "optimiser": optimiser.state_dict(), "step": step, "recipe": asdict(recipe)}, part)  # fmt: skip
            part.rename(checkpoint)


def main() -> None:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for pictures, checkpoints and results")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--rate", type=float, default=Recipe.rate)
    parser.add_argument("--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    train(chosen.work, Recipe(steps=chosen.steps, batch=chosen.batch, rate=chosen.rate), torch.device(chosen.device))


if __name__ == "__main__":
    main()
