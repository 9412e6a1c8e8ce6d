"""Teach a head beside the artworks' decoder to write the robust signature while it decodes::

    python -m provenance.training.signing_decoder WORK
    python -m provenance.training.signing_decoder WORK --device cuda --steps 50000 --batch 64

The decoder itself stays as it is, and so do the works that were made of it: unlike in stage two of Zeng et al.
(arXiv 2305.16310; :mod:`provenance.training.secured_generator`) the head can be left away. As there, injector and
detector stay too. Codes of photographs are decoded, and the head learns, for a pattern of random bits, what the
injector would add to the decoded picture, and that the detector finds the pattern after the edits that the two were
trained with.

Pictures: as for :mod:`provenance.training.robust_signature`. ``WORK`` gets ``signing-decoder.pt``, from which a killed
run goes on with the draws that it would have had, and ``signing-decoder.safetensors``, the head, with its curve;
``benchmarks.signature_decoder`` measures it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from provenance.artwork.tiers import load_small_vqgan
from provenance.models import store
from provenance.models.checkpoints import UNREADABLE, fill, read_tensors
from provenance.models.errors import ModelCorrupt, ModelError
from provenance.models.signature_nets import masking, most_hidden
from provenance.models.signing_decoder import SigningDecoder
from provenance.training.devices import device
from provenance.training.pictures import DataMissing
from provenance.training.robust_signature import load, pattern_error, rate_at, strength
from provenance.training.signature_edits import degraded, draw_geometry, warped
from provenance.watermark import paper
from provenance.watermark.networks import MODEL, networks
from provenance.watermark.pattern import CANONICAL_SIDE, RAW_BITS, TILE, sampled
from provenance.watermark.sign import psnr_for_masking

NAME = "signing-decoder"
_REPORT, _KEEP = 25, 100
_ROUNDS, _STRONGER = 4, 1.3


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training.

    Attributes:
        rate: highest learning rate; after ``warm_up`` steps it falls to 2 % of that in a cosine.
        windows: a step draws one: the side of the whole picture that is decoded, and that of the window that is cut of
            it, in pixels, a multiple of 8 and a whole number of pixels of the canonical copy.
        target: side of what the detector sees, in pixels of the canonical copy.
        likeness: weight of the distance to the injector's change, beside the detector's error.
    """

    steps: int = 1500
    batch: int = 4
    rate: float = 1e-3
    warm_up: int = 100
    windows: tuple[tuple[int, int], ...] = ((128, 88), (192, 120), (256, 176))
    target: int = 128
    likeness: float = 1.0
    seed: int = 11


class Training:
    """The decoder, what is trained beside it, and how far that is."""

    def __init__(self, recipe: Recipe, device: str = "cpu") -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.step, self.curve = 0, list[dict[str, float]]()
        torch.manual_seed(recipe.seed)
        self.vqgan = load_small_vqgan().to(self.device)
        self.net = SigningDecoder(self.vqgan.decoder).to(self.device)
        # Copies: the loaded ones are the whole process's.
        self.injector, self.detector = (copy.deepcopy(net).to(self.device) for net in networks())
        self.optimiser = torch.optim.AdamW(self.net.head.parameters(), recipe.rate, (0.9, 0.98), weight_decay=1e-4)

    @property
    def told(self) -> str:
        """Recipe and shipped weights that the head belongs to, as JSON."""
        return json.dumps({"recipe": asdict(self.recipe), "weights": weights()})

    def advance(self, pictures: npt.NDArray[np.uint8]) -> dict[str, float]:
        """Take one step.

        Args:
            pictures: uint8 ``[N, S, S, 3]`` of the canonical scale; S no smaller than any window.

        Returns:
            ``error``: the detector's, mean squared over the pattern's variance; ``likeness``: the mean squared distance
            to the injector's change over that one's mean square; ``psnr``: of the change, dB.
        """
        recipe = self.recipe
        random = np.random.default_rng((recipe.seed, self.step))
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.step, recipe.steps, recipe.rate, recipe.warm_up)
        side, window = recipe.windows[int(random.integers(len(recipe.windows)))]
        source = window * CANONICAL_SIDE // side
        drawn = _drawn(pictures, source, window, recipe.batch, random)
        pixels, pattern, told = (each.to(self.device) for each in drawn)
        with torch.no_grad():
            small = functional.interpolate(pixels, (window, window), mode="bicubic", antialias=True)
            latent = self.vqgan.look_up(self.vqgan.encode(2 * small - 1))
        plain, change = self.net(latent, told)
        signed = (paper.rounded(plain + change) + 1) / 2
        # From here on in 0..1, of the canonical scale.
        plain, change, signed = (_scaled(each, source) for each in ((plain + 1) / 2, change / 2, signed))
        with torch.no_grad():
            wanted = self._injected(plain, pattern)
        square = (1, 2, 3)
        likeness = ((change - wanted).square().mean(square) / wanted.square().mean(square)).mean()
        maps = draw_geometry(recipe.batch, source, recipe.target, random).to(self.device)
        both = warped(torch.cat([signed, pattern], 1), maps, recipe.target)
        edited = degraded(both[:, :3].cpu(), random).to(self.device)
        error = pattern_error(self.detector(edited), both[:, 3:].detach())
        loss = error + recipe.likeness * likeness
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.head.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        decibels = -10 * math.log10(max(1e-12, float(change.detach().square().mean())))
        return {"error": float(error.detach()), "likeness": float(likeness.detach()), "psnr": decibels}

    def _injected(self, plain: Tensor, pattern: Tensor) -> Tensor:
        """What signing would add to pictures ``[B,3,H,W]`` in 0..1, ``[B,1,H,W]``: so much of the injector's change
        that the mean square is reached within what is not seen."""
        decibels = [psnr_for_masking(float(value)) for value in masking(plain).mean((1, 2, 3))]
        gain = torch.from_numpy(strength(np.array(decibels))).float().view(-1, 1, 1, 1).to(plain)
        reached, most, change = gain.square(), most_hidden(plain), self.injector(plain, pattern)
        for _ in range(_ROUNDS):
            unseen = torch.minimum(torch.maximum(gain * change, -most), most)
            gain = gain * (reached / unseen.square().mean((1, 2, 3), keepdim=True)).sqrt().clamp(max=_STRONGER)
        return unseen

    def save(self, path: Path) -> None:
        """Write all that the next start needs, at once or not at all."""
        part = path.with_suffix(".part")
        torch.save({"head": self.net.head.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step,
                    "curve": self.curve, "told": self.told}, part)  # fmt: skip
        part.rename(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ModelCorrupt: it is none.
            ValueError: it was made with other numbers, or other shipped weights.
        """
        try:
            saved = torch.load(path, weights_only=True, map_location=self.device)
            told, self.step, self.curve = saved["told"], saved["step"], saved["curve"]
            if told == self.told:
                self.net.head.load_state_dict(saved["head"])
                self.optimiser.load_state_dict(saved["optimiser"])
        except (OSError, *UNREADABLE) as problem:
            raise ModelCorrupt(NAME, path, "it is no checkpoint of this training; remove it.") from problem
        if told != self.told:
            raise ValueError(f"{path} was made with other numbers or weights: {told}. Use those, or remove it.")


def weights() -> dict[str, str]:
    """Return the SHA-256 of the shipped weights that a head is trained with, by name."""
    return {name: store.sha256(name) for name in ("small-vqgan", MODEL)}


def trained(path: Path) -> tuple[SigningDecoder, dict[str, Any]]:
    """Load a head beside the shipped decoder, in eval mode, and what it says of its training: ``recipe``, ``curve``.

    Raises:
        ModelCorrupt: it is no such head, or other shipped weights' one.
        ModelMissing: the shipped weights are not here.
    """
    net = SigningDecoder(load_small_vqgan().decoder)
    fill(net.head, read_tensors(path, NAME), path, NAME, ())
    try:
        with safe_open(path, "pt") as file:
            told: dict[str, Any] = json.loads((file.metadata() or {})["training"])
        others = told["weights"] != weights()
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as problem:
        raise ModelCorrupt(NAME, path, "it does not say how it was trained.") from problem
    if others:
        raise ModelCorrupt(NAME, path, "it was trained beside other weights than the shipped ones.")
    return net.eval().requires_grad_(False), told


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
    """Take the steps that are left, for about so many minutes at most; return whether the training is finished."""
    pictures = load(work)
    checkpoint, until = work / f"{NAME}.pt", time.monotonic() + 60 * minutes
    while training.step < training.recipe.steps and time.monotonic() < until:
        began = time.monotonic()
        count = min(_REPORT, training.recipe.steps - training.step)
        found = [training.advance(pictures) for _ in range(count)]
        means = {key: round(float(np.mean([each[key] for each in found])), 4) for key in found[0]}
        training.curve.append({"step": training.step, **means})
        print(f"{json.dumps(training.curve[-1])}, {(time.monotonic() - began) / count:.2f} s a step", flush=True)
        if training.step % _KEEP == 0:
            training.save(checkpoint)
    training.save(checkpoint)
    if training.step < training.recipe.steps:
        return False
    head = {name: tensor.detach().cpu().contiguous() for name, tensor in training.net.head.state_dict().items()}
    part = work / f"{NAME}.safetensors.part"
    save_file(head, part, {"training": json.dumps({**json.loads(training.told), "curve": training.curve})})
    part.rename(work / f"{NAME}.safetensors")
    return True


def main() -> None:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for pictures, checkpoints and results")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--batch", type=int, default=Recipe.batch)
    parser.add_argument("--device", type=device, default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; a later start goes on")
    chosen = parser.parse_args()
    if min(chosen.steps, chosen.batch, chosen.threads) < 1:
        parser.error("--steps, --batch and --threads must be 1 or more.")
    if chosen.work.is_file():
        parser.error(f"{chosen.work} is a file; name a folder.")
    torch.set_num_threads(chosen.threads)
    try:
        chosen.work.mkdir(parents=True, exist_ok=True)
        training = Training(Recipe(steps=chosen.steps, batch=chosen.batch), chosen.device)
        if (chosen.work / f"{NAME}.pt").exists():
            training.resume(chosen.work / f"{NAME}.pt")
        train(chosen.work, training, chosen.minutes)
    except (DataMissing, ModelError, OSError, ValueError) as problem:
        parser.exit(2, f"{problem}\n")


if __name__ == "__main__":
    main()
