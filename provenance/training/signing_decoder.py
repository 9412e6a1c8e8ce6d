"""Teach the artworks' decoder to write the robust signature while it decodes: stage two with 64 bits::

    python -m provenance.training.signing_decoder WORK
    python -m provenance.training.signing_decoder WORK --device cuda --steps 50000 --batch 64

As in stage two of Zeng et al., "Securing Deep Generative Models with Universal Adversarial Signature" (arXiv
2305.16310), injector and detector stay as they are. Codes of photographs are decoded, and a head beside the decoder's
last layer learns, for a pattern of random bits, what the injector would add to the decoded picture, and that the
detector finds the pattern after the edits that the two were trained with. The decoder itself stays too: unsigned
pictures, and the works that were made of them, remain what they were.

Pictures: as for :mod:`provenance.training.robust_signature`. ``WORK`` gets ``signing-decoder.pt``, from which a killed
run goes on with the draws that it would have had, and ``signing-decoder.safetensors``, the head, with its curve.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from provenance.artwork.tiers import load_small_vqgan
from provenance.models.errors import ModelMissing
from provenance.models.signature_nets import masking, most_hidden
from provenance.models.signing_decoder import SigningDecoder
from provenance.models.small_vqgan import STRIDE
from provenance.training.pictures import DataMissing
from provenance.training.robust_signature import load, strength
from provenance.training.signature_edits import degraded, draw_geometry, warped
from provenance.watermark.networks import networks
from provenance.watermark.pattern import CANONICAL_SIDE, RAW_BITS, TILE, sampled
from provenance.watermark.sign import psnr_for_masking

_REPORT, _KEEP = 25, 100


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training.

    Attributes:
        rate: highest learning rate; after ``warm_up`` steps it falls to 2 % of that in a cosine.
        sides: of whole pictures, in pixels; a step draws one, and decodes a window of it.
        source: side of the window, in pixels of the canonical copy. target: side of what the detector sees.
        likeness: weight of the distance to the injector's change, beside the detector's error.
    """

    steps: int = 2000
    batch: int = 4
    rate: float = 1e-3
    warm_up: int = 100
    sides: tuple[int, ...] = (128, 192, 256)
    source: int = 176
    target: int = 128
    likeness: float = 1.0
    seed: int = 11


@dataclass
class Training:
    """The decoder, what is trained of it, and how far it is."""

    recipe: Recipe
    device: torch.device
    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(self.recipe.seed)
        self.vqgan = load_small_vqgan().to(self.device)
        self.net = SigningDecoder(self.vqgan.decoder).to(self.device)
        self.injector, self.detector = (net.to(self.device) for net in networks())
        self.optimiser = torch.optim.AdamW(self.net.head.parameters(), self.recipe.rate, (0.9, 0.98), weight_decay=1e-4)

    def advance(self, pictures: npt.NDArray[np.uint8]) -> dict[str, float]:
        """Take one step on some of uint8 ``[N, S, S, 3]``, S at least ``recipe.source``; return the two parts of the
        loss and the decibels of the change."""
        recipe = self.recipe
        random = np.random.default_rng((recipe.seed, self.step))
        for group in self.optimiser.param_groups:
            warm = min(1.0, (self.step + 1) / recipe.warm_up)
            group["lr"] = recipe.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.step / recipe.steps)))
        side = int(random.choice(recipe.sides))
        window = STRIDE * round(recipe.source * side / CANONICAL_SIDE / STRIDE)
        source = 2 * round(window * CANONICAL_SIDE / side / 2)
        drawn = _drawn(pictures, source, window, recipe.batch, random)
        pixels, pattern, told = (each.to(self.device) for each in drawn)
        with torch.no_grad():
            small = functional.interpolate(pixels, (window, window), mode="bicubic", antialias=True)
            latent = self.vqgan.look_up(self.vqgan.encode(2 * small - 1))
        plain, change = self.net.both(latent, told)
        # From here on in 0..1, at the canonical scale.
        plain, change = (_scaled(each, source) for each in ((plain.clamp(-1, 1) + 1) / 2, change / 2))
        with torch.no_grad():
            wanted = self._injected(plain, pattern)
        likeness = (change - wanted).square().mean() / wanted.square().mean()
        signed = (plain + change).clamp(0, 1)
        maps = draw_geometry(recipe.batch, source, recipe.target, random).to(self.device)
        both = warped(torch.cat([signed, pattern], 1), maps, recipe.target)
        edited = degraded(both[:, :3].cpu(), random).to(self.device)
        there = both[:, 3:].detach()
        error = (self.detector(edited) - there).square().mean((1, 2, 3))
        error = (error / there.square().mean((1, 2, 3)).clamp_min(1e-3)).mean()
        loss = error + recipe.likeness * likeness
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.head.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        decibels = -10 * math.log10(max(1e-12, float(change.detach().square().mean())))
        return {"error": float(error.detach()), "likeness": float(likeness.detach()), "psnr": decibels}

    def _injected(self, plain: Tensor, pattern: Tensor) -> Tensor:
        """What signing would add to pictures ``[B,3,H,W]`` in 0..1, ``[B,1,H,W]``."""
        decibels = [psnr_for_masking(float(value)) for value in masking(plain).mean((1, 2, 3))]
        gain = torch.from_numpy(strength(np.array(decibels))).float().view(-1, 1, 1, 1).to(plain)
        most = most_hidden(plain)
        change: Tensor = torch.minimum(torch.maximum(gain * self.injector(plain, pattern), -most), most)
        return change

    def save(self, path: Path) -> None:
        """Write all that the next start needs, at once or not at all."""
        part = path.with_suffix(".part")
        torch.save({"head": self.net.head.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step,
                    "curve": self.curve, "recipe": json.dumps(asdict(self.recipe))}, part)  # fmt: skip
        part.rename(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it was made with other numbers.
        """
        saved = torch.load(path, weights_only=True, map_location=self.device)
        if saved["recipe"] != json.dumps(asdict(self.recipe)):
            raise ValueError(f"{path} was made with other numbers: {saved['recipe']}. Use those, or remove it.")
        self.net.head.load_state_dict(saved["head"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step, self.curve = saved["step"], saved["curve"]


def _drawn(
    pictures: npt.NDArray[np.uint8], source: int, window: int, batch: int, random: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of pictures, float32 ``[B,3,S,S]`` in 0..1, and patterns of random bits: at the pixels of these,
    ``[B,1,S,S]``, and at those that the decoder makes of them, ``[B,1,W,W]``."""
    plain: list[npt.NDArray[np.uint8]] = []
    patterns: list[npt.NDArray[np.float32]] = []
    told: list[npt.NDArray[np.float32]] = []
    for index in random.integers(0, len(pictures), batch):
        top, left = random.integers(0, pictures.shape[1] - source + 1, 2)
        piece = pictures[index, top : top + source, left : left + source]
        plain.append(piece[:, ::-1] if random.random() < 0.5 else piece)
        bits, corner = random.random(RAW_BITS) < 0.5, random.integers(0, TILE, 2)
        for side, found in ((source, patterns), (window, told)):
            places = (np.arange(side) + 0.5) * source / side - 0.5
            found.append(sampled(bits, corner[0] + places, corner[1] + places))
    pixels = torch.from_numpy(np.stack(plain)).permute(0, 3, 1, 2).float() / 255
    return pixels, torch.from_numpy(np.stack(patterns))[:, None], torch.from_numpy(np.stack(told))[:, None]


def _scaled(x: Tensor, side: int) -> Tensor:
    return x if x.shape[2] == side else functional.interpolate(x, (side, side), mode="bicubic")


def train(work: Path, training: Training, minutes: float = math.inf) -> bool:
    """Take the steps that are left, for so many minutes at most; return whether the training is finished."""
    pictures = load(work)
    checkpoint, until = work / "signing-decoder.pt", time.monotonic() + 60 * minutes
    found: list[dict[str, float]] = []
    began = time.monotonic()
    while training.step < training.recipe.steps and time.monotonic() < until:
        found.append(training.advance(pictures))
        if training.step % _REPORT == 0:
            means = {key: round(float(np.mean([each[key] for each in found])), 4) for key in found[0]}
            training.curve.append({"step": training.step, **means})
            seconds, began = (time.monotonic() - began) / len(found), time.monotonic()
            print(f"{json.dumps(training.curve[-1])}, {seconds:.2f} s a step", flush=True)
            found = []
        if training.step % _KEEP == 0:
            training.save(checkpoint)
    training.save(checkpoint)
    if training.step < training.recipe.steps:
        return False
    head = {name: tensor.detach().cpu().contiguous() for name, tensor in training.net.head.state_dict().items()}
    told = {"recipe": asdict(training.recipe), "curve": training.curve}
    part = work / "signing-decoder.safetensors.part"
    save_file(head, part, {"training": json.dumps(told)})
    part.rename(work / "signing-decoder.safetensors")
    return True


def main() -> None:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for pictures, checkpoints and results")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; a later start goes on")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    try:
        training = Training(Recipe(steps=chosen.steps, batch=chosen.batch), torch.device(chosen.device))
        if (chosen.work / "signing-decoder.pt").exists():
            training.resume(chosen.work / "signing-decoder.pt")
        train(chosen.work, training, chosen.minutes)
    except (DataMissing, ModelMissing, ValueError) as problem:
        parser.exit(2, f"{problem}\n")


if __name__ == "__main__":
    main()
