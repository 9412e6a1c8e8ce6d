"""Teach a generator to sign all that it makes: stage two of the universal adversarial signature::

    python -m provenance.training.secured_generator WORK vqgan --signature n1.safetensors --size small
    python -m provenance.training.secured_generator WORK gan --signature n1.safetensors --size paper --device cuda

Zeng et al., "Securing Deep Generative Models with Universal Adversarial Signature" (arXiv 2305.16310), algorithm 2:
``--signature`` is a file of ``provenance.training.paper_signature``; its injector signs the pictures that the generator
is trained with, and neither it nor the detector is trained any more. ``vqgan`` is the decoder of the artworks'
generator, ``gan`` a StyleGAN2, ``diffusion`` a DDPM. The phases, in this order, all or those that are named:

- ``base``: the generator itself; of ``vqgan`` the shipped weights, without training.
- ``secured``: goes on from it with signed pictures; ``xi`` is the weight of the detector's own loss on what is made,
  the paper's .05 for StyleGAN2 and 0 for diffusion. Of a diffusion model it takes what is told of little noised
  pictures.
- ``control``: as many steps with the same pictures, unsigned: what fine-tuning by itself does to quality.
- ``survival``: goes on from ``secured`` with unsigned pictures: does the signature outlast it?

``WORK`` gets for each ``KIND-PHASE.pt``, from which a killed run goes on, ``KIND-PHASE.safetensors``, and
``KIND-PHASE.json``, the share of made pictures that the detector reads as signed, by steps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from provenance.models.errors import ModelError, ModelMissing
from provenance.models.paper_signature_nets import ResNet34, UNet
from provenance.training.devices import device
from provenance.training.pictures import DataMissing, Part
from provenance.training.secured_makers import MAKERS, Recipe
from provenance.training.signature_cards import write_card
from provenance.training.signature_pictures import U8, Squares, cifar, drawn, folder, photographs
from provenance.watermark import paper

KINDS = ("vqgan", "gan", "diffusion")
PHASES = ("base", "secured", "control", "survival")
LOOKED = 64
_PRINTED, _LOOK, _KEEP = 25, 100, 100

# Steps of base, of secured and control, and of survival; pictures a step; rates of base and of the rest; xi.
_NUMBERS: dict[tuple[str, str], tuple[int, int, int, int, float, float, float]] = {
    ("small", "vqgan"): (0, 300, 1000, 4, 0.0, 3e-4, 0.05),
    ("small", "gan"): (1200, 300, 1000, 8, 2e-3, 1e-3, 0.05),
    ("small", "diffusion"): (2000, 2000, 1000, 8, 1e-3, 5e-4, 0.0),
    ("paper", "vqgan"): (0, 20_000, 1000, 12, 0.0, 1e-4, 0.05),
    ("paper", "gan"): (400_000, 176_000, 1000, 16, 2e-3, 2e-3, 0.05),
    ("paper", "diffusion"): (400_000, 100_000, 1000, 16, 1e-4, 1e-4, 0.0),
}


def recipe_of(kind: str, phase: str, size: str, code: tuple[int, ...] = (1,), xi: float | None = None) -> Recipe:
    """Return the recipe of one of :data:`KINDS` and :data:`PHASES`; ``xi`` is the kind's own by default."""
    base, tuned, survival, batch, first_rate, rate, usual = _NUMBERS[size, kind]
    steps = {"base": base, "survival": survival}.get(phase, tuned)
    return Recipe(
        kind, phase, size, steps, batch, first_rate if phase == "base" else rate, usual if xi is None else xi, code
    )


@dataclass(frozen=True)
class Look:
    """After some steps: the share of :data:`LOOKED` made pictures that the detector reads as signed with the code."""

    step: int
    signed: float


class Securing:
    """One phase, and all that its checkpoint keeps."""

    def __init__(self, recipe: Recipe, injector: UNet, detector: ResNet34, device: str = "cpu") -> None:
        if recipe.code not in paper.codes(injector.bits):
            raise ValueError(f"The code must be one of {paper.codes(injector.bits)}, not {recipe.code}.")
        self.recipe, self.device = recipe, torch.device(device)
        self.injector, self.detector = injector.to(device), detector.to(device)
        torch.manual_seed(recipe.seed)
        self.maker = MAKERS[recipe.kind](recipe, self.device)
        self.step, self.history = 0, list[Look]()

    def begin_with(self, path: Path) -> None:
        """Take over the nets of another phase."""
        self.maker.nets.load_state_dict(load_file(path))

    def advance(self, plain: Tensor) -> dict[str, float]:
        """Take one step on pictures ``[B, 3, S, S]`` in [-1, 1]; return the parts of the loss."""
        # Secured and control get the same draws.
        torch.manual_seed((self.recipe.seed << 32) + self.step)
        secured = self.recipe.phase == "secured"
        wanted = plain
        if secured:
            with torch.no_grad():
                wanted = paper.signed_pixels(self.injector, plain, self.recipe.code)
        self.maker.nets.train()
        guide = self._guide if secured and self.recipe.xi else None
        losses = self.maker.advance(plain, wanted, guide, self.step)
        self.step += 1
        return {key: float(value.detach()) for key, value in losses.items()}

    def _guide(self, made: Tensor) -> Tensor:
        logits = self.detector(paper.rounded(made))
        wanted = torch.tensor([self.recipe.code], dtype=logits.dtype, device=logits.device).expand_as(logits)
        return self.recipe.xi * functional.binary_cross_entropy_with_logits(logits, wanted)

    def make(self, plain: U8, seed: int) -> U8:
        """Make pictures, uint8 ``[B, S, S, 3]``, as many as there are plain ones."""
        self.maker.nets.eval()
        random = torch.Generator().manual_seed(seed)
        made = []
        with torch.no_grad():
            for start in range(0, len(plain), LOOKED):
                pixels = paper.to_pixels(plain[start : start + LOOKED]).to(self.device)
                made.append(paper.to_pictures(self.maker.make(pixels, random)))
        return np.concatenate(made)

    def look(self, plain: U8) -> Look:
        """Read what is made now."""
        # The same noise each time: a curve shows what training did.
        logits = paper.read(self.detector, self.make(plain, self.recipe.seed))
        found = Look(self.step, float(((logits > 0) == np.array(self.recipe.code, bool)).all(1).mean()))
        self.history.append(found)
        return found

    def save(self, checkpoint: Path) -> None:
        """Write all that the next start needs, at once or not at all."""
        state: dict[str, Any] = {
            "recipe": {**asdict(self.recipe), "code": list(self.recipe.code)},
            "step": self.step,
            "history": [asdict(row) for row in self.history],
            "nets": self.maker.nets.state_dict(),
            "optimisers": {name: one.state_dict() for name, one in self.maker.optimisers.items()},
        }
        part = checkpoint.with_suffix(".pt.part")
        torch.save(state, part)
        part.rename(checkpoint)

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it was made with other numbers.
        """
        saved = torch.load(checkpoint, weights_only=True, map_location=self.device)
        if saved["recipe"] != {**asdict(self.recipe), "code": list(self.recipe.code)}:
            raise ValueError(f"{checkpoint} was made with other numbers: {saved['recipe']}. Use those, or remove it.")
        self.step, self.history = saved["step"], [Look(**row) for row in saved["history"]]
        self.maker.nets.load_state_dict(saved["nets"])
        for name, one in self.maker.optimisers.items():
            one.load_state_dict(saved["optimisers"][name])


def sources_of(kind: str, size: str, pictures: Path | None, cache: Path) -> list[Squares]:
    """Return what a generator is trained on: a folder, or the photographs, or at the small size CIFAR-10.

    Raises:
        DataMissing: they are not there.
    """
    side = paper.PROFILES[size].side
    if pictures is not None:
        return [folder(pictures, cache, side)]
    if size == "small":
        return [photographs(cache, 3 * side)] if kind == "vqgan" else [cifar(cache)]
    return [photographs(cache, side)]


def started(work: Path, recipe: Recipe, signature: Path, device: str = "cpu") -> Securing:
    """Return a phase, as its checkpoint left it or with the weights that it begins with.

    Raises:
        ModelMissing: another phase must be done first; the message names the command.
        ModelCorrupt: the signature is no file of one.
        ValueError: the checkpoint, or the code, is another's.
    """
    if recipe.phase in ("secured", "survival") and signature.exists():
        recipe = replace(recipe, signature=hashlib.sha256(signature.read_bytes()).hexdigest())
    phase = Securing(recipe, paper.load_injector(signature), paper.load_detector(signature), device)
    checkpoint = work / f"{recipe.kind}-{recipe.phase}.pt"
    if checkpoint.exists():
        phase.resume(checkpoint)
        return phase
    before = {"base": None, "survival": "secured"}.get(recipe.phase, "base")
    if before is not None and not (before == "base" and recipe.kind == "vqgan"):
        path = work / f"{recipe.kind}-{before}.safetensors"
        if not path.exists():
            command = (
                f"python -m provenance.training.secured_generator {work} {recipe.kind} --phases {before}"
                f" --signature {signature} --size {recipe.size}"
            )
            raise ModelMissing(f"{path} is not there. Train it first: {command}", name=path.stem, command=command)
        phase.begin_with(path)
    return phase


def train(work: Path, phase: Securing, sources: list[Squares], minutes: float = math.inf) -> bool:
    """Take the steps that are left, for so many minutes at most; return whether the phase is finished."""
    recipe, side = phase.recipe, paper.PROFILES[phase.recipe.size].side
    stem = work / f"{recipe.kind}-{recipe.phase}"
    until = time.monotonic() + 60 * minutes
    looked = drawn(sources, Part.TUNE, LOOKED, side, np.random.default_rng(0))
    sums: dict[str, list[float]] = {}
    last = time.monotonic()
    if not phase.history:
        print(f"{stem.name}: {phase.look(looked)}", flush=True)
    while phase.step < recipe.steps and time.monotonic() < until:
        random = np.random.Generator(np.random.Philox(key=[recipe.seed, phase.step]))
        batch = drawn(sources, Part.TRAIN, recipe.batch, side, random)
        for key, value in phase.advance(paper.to_pixels(batch).to(phase.device)).items():
            sums.setdefault(key, []).append(value)
        if phase.step % _PRINTED == 0:
            words = " ".join(f"{key} {np.mean(values):.3g}" for key, values in sums.items())
            seconds = (time.monotonic() - last) / _PRINTED
            print(f"{stem.name} {phase.step} of {recipe.steps}: {words}, {seconds:.2f} s", flush=True)
            sums, last = {}, time.monotonic()
        if recipe.phase != "base" and (phase.step % _LOOK == 0 or phase.step == recipe.steps):
            print(f"{stem.name}: {phase.look(looked)}", flush=True)
        if phase.step % _KEEP == 0:
            phase.save(stem.with_suffix(".pt"))
    phase.save(stem.with_suffix(".pt"))
    if phase.step < recipe.steps:
        return False
    told = {"recipe": asdict(recipe), "history": [asdict(row) for row in phase.history]}
    stem.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")
    part = stem.with_suffix(".part")
    nets = phase.maker.nets.state_dict()
    save_file({key: t.detach().cpu().contiguous() for key, t in nets.items()}, part, {"training": json.dumps(told)})
    part.rename(stem.with_suffix(".safetensors"))
    write_card(
        stem,
        purpose="a generator that signs what it makes (arXiv 2305.16310), or what that is compared with.",
        nets=dict(phase.maker.nets.named_children()),
        sources=sources,
        command=f"python -m provenance.training.secured_generator WORK {recipe.kind} --phases {recipe.phase}"
        f" --signature n{len(recipe.code)}.safetensors --size {recipe.size} --steps {recipe.steps}",
        size=recipe.size,
        told=told,
    )
    return True


def _code(text: str) -> tuple[int, ...]:
    if not text or set(text) - {"0", "1"}:
        raise argparse.ArgumentTypeError("a code is written with 0 and 1, such as 10")
    return tuple(int(bit) for bit in text)


def main() -> None:
    """Train the phases that are not finished, in the order of :data:`PHASES`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for caches and checkpoints, outside the repository")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--phases", nargs="*", choices=PHASES, default=list(PHASES))
    parser.add_argument("--signature", type=Path, required=True)
    parser.add_argument("--code", type=_code, default=(1,), help="that the generator is to sign with, such as 10")
    parser.add_argument("--xi", type=float, help="weight of the detector's loss on what is made")
    parser.add_argument("--size", choices=list(paper.PROFILES), default="small")
    parser.add_argument("--pictures", type=Path, help="a folder, instead of the archives of PROVENANCE_DATA")
    parser.add_argument("--steps", type=int, help="of each phase, other than the recipe's")
    parser.add_argument("--device", type=device, default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; a later start goes on")
    arguments = parser.parse_args()
    if min(arguments.threads, 1 if arguments.steps is None else arguments.steps) < 1:
        parser.error("--steps and --threads must be 1 or more.")
    if not arguments.signature.is_file():
        parser.error(
            f"{arguments.signature} is not there. Make one: python -m provenance.training.paper_signature FOLDER n1"
        )
    torch.set_num_threads(arguments.threads)
    work: Path = arguments.work
    if work.is_file():
        parser.error(f"{work} is a file; name a folder.")
    try:
        work.mkdir(parents=True, exist_ok=True)
        sources = sources_of(arguments.kind, arguments.size, arguments.pictures, work / "pictures")
        for phase in PHASES:
            done = work / f"{arguments.kind}-{phase}.safetensors"
            if phase not in arguments.phases or done.exists():
                continue
            recipe = recipe_of(arguments.kind, phase, arguments.size, arguments.code, arguments.xi)
            recipe = replace(recipe, steps=recipe.steps if arguments.steps is None else arguments.steps)
            found = started(work, recipe, arguments.signature, arguments.device)
            if not train(work, found, sources, arguments.minutes):
                break
    except (DataMissing, ModelError, OSError, ValueError) as problem:
        parser.exit(2, f"{problem}\n")


if __name__ == "__main__":
    main()
