"""Train the universal adversarial signature as published, with all that its tables need::

    python -m provenance.training.paper_signature WORK --size paper --pictures FOLDER --device cuda
    python -m provenance.training.paper_signature WORK --size small
    python -m provenance.training.paper_signature WORK n1 restore-n1 --size small

Zeng et al., "Securing Deep Generative Models with Universal Adversarial Signature" (arXiv 2305.16310), stage one:
injector W and detector F together, by the squared difference of signed and plain pictures in [-1, 1] plus ``weight``
times the cross entropy of F. Runs, all or those that are named:

- ``weight-0`` to ``weight-1``: the paper's table 6; ``n1`` is its .05. ``n2``: two bits, table 2.
- ``noise``: W gets pictures with noise; ``aux``: F also learns what a network M, trained along to take signatures out,
  leaves of them; ``noise-aux``: both. Table 9.
- ``restore-RUN``: the attack on a run: a fresh M learns to take its signatures out, from pairs; W and F stay.

``--size paper`` is the paper's: networks, 256 pixels, 24 pictures a step, Adam at 1e-4, 120,000 steps. ``--size small``
trains on one core, on windows of 32 pixels; there the other runs and the attacks begin with the weights of
``weight-0``: the long time that ``weight`` takes to grow in the authors' program, spent once.

``WORK`` gets ``RUN.pt``, from which a killed run goes on with the draws that it would have had; ``RUN.safetensors``
(float32, :mod:`provenance.watermark.paper`); and ``RUN.json``, its curve on tuning pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from provenance.detection.calibration import auc
from provenance.images.quality import DATA_RANGE
from provenance.models.errors import ModelError, ModelMissing
from provenance.models.paper_signature_nets import ResNet34, UNet
from provenance.training.devices import device
from provenance.training.pictures import DataMissing, Part
from provenance.training.signature_cards import write_card
from provenance.training.signature_pictures import U8, Squares, drawn, of_size
from provenance.training.signature_views import seen
from provenance.watermark import paper

WATCHED = 192
_PRINTED, _WATCH, _KEEP = 50, 500, 250
_WARM_UP = 100


@dataclass(frozen=True)
class Recipe:
    """The numbers of one run.

    Attributes:
        profile: of :data:`provenance.watermark.paper.PROFILES`.
        weight: of the detector's loss, the paper's lambda.
        ramp: steps over which it grows from 0.
        noise: standard deviation, in [-1, 1], of what is added to the pictures that the injector gets.
        attacked: whether a restorer is trained along (the paper's L_aux).
        restore: name of the run that a restorer attacks; the recipe is then the restorer's.
        start: name of the run whose injector this one begins with.
        decay: whether the rate falls to 0 along a cosine, after a short warm-up.
    """

    profile: str
    steps: int
    batch: int
    rate: float
    weight: float = 0.05
    bits: int = 1
    ramp: int = 100
    noise: float = 0.0
    attacked: bool = False
    restore: str = ""
    start: str = ""
    decay: bool = False
    seed: int = 317

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, 0 being the first."""
        if not self.decay:
            return self.rate
        return self.rate * min(1, (step + 1) / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / self.steps))

    def weight_at(self, step: int) -> float:
        """Return the detector's weight at a step."""
        return self.weight * min(1.0, step / max(1, self.ramp))


_CHANGES: dict[str, dict[str, Any]] = {
    "weight-0": {"weight": 0.0},
    "n1": {},
    "n2": {"bits": 2},
    **{f"weight-{weight:g}": {"weight": weight} for weight in (1.0, 0.1, 0.01, 0.005, 0.001, 1e-5)},
    "aux": {"attacked": True},
    "noise": {"noise": 0.5},
    "noise-aux": {"noise": 0.5, "attacked": True},
    **{f"restore-{run}": {"restore": run, "seed": 53} for run in ("n1", "aux", "noise", "noise-aux")},
}
RUNS = tuple(_CHANGES)


def recipe_of(run: str, size: str) -> Recipe:
    """Return the recipe of one of :data:`RUNS` at one of the profiles' sizes."""
    if size == "paper":
        return replace(Recipe("paper", steps=120_000, batch=24, rate=1e-4), **_CHANGES[run])
    if run == "weight-0":
        return replace(Recipe("small", steps=4500, batch=4, rate=3e-3, decay=True), **_CHANGES[run])
    # A long ramp: the detector learns, at any weight, before the injector is made to change more than it does anyway.
    start = Recipe("small", steps=10_000, batch=4, rate=1e-3, ramp=2000, start="weight-0", decay=True)
    return replace(start, **_CHANGES[run])


@dataclass(frozen=True)
class Look:
    """How a run stands after some steps, on tuning pictures it does not learn from, plain and signed.

    Attributes:
        psnr: dB, of the mean squared difference of all pictures; None where no level differs.
        accuracy: share of bits read right, of signed and of plain pictures. auc: of the largest bit's logit.
    """

    step: int
    psnr: float | None
    accuracy: float
    auc: float


def pooled_psnr(one: U8, other: U8) -> float | None:
    """Return the PSNR in dB of the mean squared difference of uint8 pictures; None where there is no difference."""
    error = float(np.square(one.astype(np.float64) - other).mean())
    return 10 * math.log10(DATA_RANGE**2 / error) if error else None


class Training:
    """One run, and all that its checkpoint keeps.

    Args:
        victim: the injector that a restorer attacks.
    """

    def __init__(self, recipe: Recipe, device: str = "cpu", victim: UNet | None = None) -> None:
        self.recipe, self.device = recipe, torch.device(device)
        self.profile = paper.PROFILES[recipe.profile]
        torch.manual_seed(recipe.seed)
        self.injector = UNet(self.profile.injector, recipe.bits).to(device)
        self.detector = ResNet34(self.profile.detector, recipe.bits).to(device)
        self.restorer = UNet(self.profile.injector).to(device) if recipe.attacked else None
        self.victim = victim.to(device) if victim is not None else None
        learnt = list(self.injector.parameters())
        if victim is None:
            learnt += self.detector.parameters()
        self.optimiser = torch.optim.Adam(learnt, recipe.rate, fused=True)
        self.restorer_optimiser = None
        if self.restorer is not None:
            self.restorer_optimiser = torch.optim.Adam(self.restorer.parameters(), recipe.rate, fused=True)
        self.step, self.history = 0, list[Look]()
        # From which step on the rate followed a schedule of how many.
        self.schedules = [[0, recipe.steps]]

    def begin_with(self, start: UNet) -> None:
        """Take over another run's injector, for the restorer too; what it does not have, a code's embedding, stays."""
        self.injector.load_state_dict(start.state_dict(), strict=False)
        if self.restorer is not None:
            self.restorer.load_state_dict(start.state_dict())

    def advance(self, pixels: Tensor) -> dict[str, float]:
        """Take one step on plain pictures ``[B, 3, S, S]`` in [-1, 1]; return the parts of the loss."""
        recipe = self.recipe
        torch.manual_seed((recipe.seed << 32) + self.step)
        random = np.random.Generator(np.random.Philox(key=(recipe.seed << 32) + self.step))
        for group in (*self.optimiser.param_groups, *getattr(self.restorer_optimiser, "param_groups", ())):
            group["lr"] = recipe.rate_at(self.step)
        self.injector.train()
        self.detector.train()
        if self.victim is not None:
            codes = paper.codes(self.victim.bits)
            with torch.no_grad():
                signed = paper.signed_pixels(self.victim, pixels, codes[int(random.integers(len(codes)))])
            losses = {"rec": functional.mse_loss(self.injector(signed), pixels)}
            loss = losses["rec"]
        else:
            losses = self._losses(pixels, random)
            loss = losses["rec"] + recipe.weight_at(self.step) * losses.get("cls", 0.0)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.step += 1
        return {key: float(value.detach()) for key, value in losses.items()}

    def _losses(self, pixels: Tensor, random: np.random.Generator) -> dict[str, Tensor]:
        recipe = self.recipe
        codes = paper.codes(recipe.bits)
        # One code for all pictures of a step, as in the authors' program.
        code = codes[int(random.integers(len(codes)))]
        given = pixels + recipe.noise * torch.randn_like(pixels) if recipe.noise else pixels
        signed = paper.signed_pixels(self.injector, given, code)
        losses = {"rec": functional.mse_loss(signed, pixels)}
        if not recipe.weight:
            return losses
        views = [seen(signed, random)]
        plain = [seen(pixels, random)]
        if self.restorer is not None:
            losses["restorer"] = self._train_restorer(signed.detach(), pixels)
            self.restorer.requires_grad_(False)
            views.append(paper.rounded(self.restorer(views[0])))
            plain.append(seen(pixels, random))
            self.restorer.requires_grad_(True)
        logits = self.detector(torch.cat([*views, *plain]))
        wanted = torch.zeros_like(logits)
        wanted[: len(logits) // 2] = torch.tensor(code, dtype=logits.dtype, device=logits.device)
        losses["cls"] = functional.binary_cross_entropy_with_logits(logits, wanted)
        return losses

    def _train_restorer(self, signed: Tensor, pixels: Tensor) -> Tensor:
        assert self.restorer is not None
        assert self.restorer_optimiser is not None
        loss = functional.mse_loss(self.restorer(signed), pixels)
        self.restorer_optimiser.zero_grad()
        loss.backward()
        self.restorer_optimiser.step()
        return loss.detach()

    def look(self, plain: U8) -> Look:
        """Measure on uint8 ``[N, S, S, 3]``; of a restorer, what it leaves, and the detector has nothing to say."""
        self.injector.eval()
        self.detector.eval()
        codes = paper.codes(self.recipe.bits)
        if self.victim is not None:
            marked = paper.sign(self.victim, plain, paper.codes(self.victim.bits)[0])
            found = Look(self.step, pooled_psnr(paper.restored(self.injector, marked), plain), math.nan, math.nan)
        else:
            # The injector gets what it was trained with.
            noisy = with_noise(plain, self.recipe.noise, self.recipe.seed)
            parts = [(code, plain[n :: len(codes)], noisy[n :: len(codes)]) for n, code in enumerate(codes)]
            signed = [(code, paper.sign(self.injector, given, code), part) for code, part, given in parts]
            error = pooled_psnr(np.concatenate([s for _, s, _ in signed]), np.concatenate([p for *_, p in signed]))
            of_plain = paper.read(self.detector, plain)
            of_signed = [(code, paper.read(self.detector, s)) for code, s, _ in signed]
            right = [((logits > 0) == np.array(code, bool)).ravel() for code, logits in of_signed]
            accuracy = (np.concatenate(right).mean() + (of_plain <= 0).mean()) / 2
            scores = np.concatenate([logits.max(1) for _, logits in of_signed])
            found = Look(self.step, error, float(accuracy), auc(scores, of_plain.max(1)))
        self.history.append(found)
        return found

    def save(self, checkpoint: Path) -> None:
        """Write all that the next start needs, at once or not at all."""
        nets = {"injector": self.injector, "detector": self.detector, "restorer": self.restorer}
        optimisers = {"optimiser": self.optimiser, "restorer_optimiser": self.restorer_optimiser}
        state: dict[str, Any] = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "schedules": self.schedules,
            "history": [asdict(row) for row in self.history],
            **{key: one.state_dict() for key, one in {**nets, **optimisers}.items() if one is not None},
        }
        part = checkpoint.with_suffix(".pt.part")
        torch.save(state, part)
        part.rename(checkpoint)

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint; of its numbers only the steps may have been others.

        Raises:
            ValueError: it was made with other numbers.
        """
        saved = torch.load(checkpoint, weights_only=True, map_location=self.device)
        steps = self.recipe.steps
        if {**saved["recipe"], "steps": steps} != asdict(self.recipe):
            raise ValueError(f"{checkpoint} was made with other numbers: {saved['recipe']}. Use those, or remove it.")
        self.schedules = saved.get("schedules", [[0, saved["recipe"]["steps"]]])
        if self.schedules[-1][1] != steps:
            self.schedules.append([saved["step"], steps])
        self.step, self.history = saved["step"], [Look(**row) for row in saved["history"]]
        self.injector.load_state_dict(saved["injector"])
        self.detector.load_state_dict(saved["detector"])
        self.optimiser.load_state_dict(saved["optimiser"])
        if self.restorer is not None and self.restorer_optimiser is not None:
            self.restorer.load_state_dict(saved["restorer"])
            self.restorer_optimiser.load_state_dict(saved["restorer_optimiser"])


def with_noise(pictures: U8, sigma: float, seed: int) -> U8:
    """Return uint8 pictures with Gaussian noise of a standard deviation given in [-1, 1], cut and rounded."""
    if not sigma:
        return pictures
    noise = np.random.default_rng(seed).standard_normal(pictures.shape) * sigma * DATA_RANGE / 2
    return np.clip(np.rint(pictures + noise), 0, DATA_RANGE).astype(np.uint8)


def started(work: Path, run: str, size: str, device: str, steps: int | None = None) -> Training:
    """Return a run, as its checkpoint left it or with the weights that it begins with.

    Args:
        steps: other than the recipe's.

    Raises:
        ModelMissing: another run must be done first; the message names the command.
    """
    recipe = recipe_of(run, size)
    recipe = replace(recipe, steps=recipe.steps if steps is None else steps)
    found = {
        other: paper.load_injector(_finished(work, other, size)) for other in (recipe.restore, recipe.start) if other
    }
    training = Training(recipe, device, found.get(recipe.restore))
    checkpoint = work / f"{run}.pt"
    if checkpoint.exists():
        training.resume(checkpoint)
    elif recipe.start:
        training.begin_with(found[recipe.start])
    return training


def _finished(work: Path, run: str, size: str) -> Path:
    path = work / f"{run}.safetensors"
    if not path.exists():
        command = f"python -m provenance.training.paper_signature {work} {run} --size {size}"
        raise ModelMissing(f"{path} is not there. Train it first: {command}", name=run, command=command)
    return path


def train(work: Path, run: str, training: Training, sources: list[Squares], minutes: float = math.inf) -> bool:
    """Take the steps that are left, for so many minutes at most; return whether the run is finished."""
    recipe, side = training.recipe, training.profile.side
    until = time.monotonic() + 60 * minutes
    watched = drawn(sources, Part.TUNE, WATCHED, side, np.random.default_rng(0))
    sums: dict[str, float] = {}
    last = time.monotonic()
    while training.step < recipe.steps and time.monotonic() < until:
        random = np.random.Generator(np.random.Philox(key=[recipe.seed, training.step]))
        batch = drawn(sources, Part.TRAIN, recipe.batch, side, random)
        for key, value in training.advance(paper.to_pixels(batch).to(training.device)).items():
            sums[key] = sums.get(key, 0.0) + value / _PRINTED
        if training.step % _PRINTED == 0:
            words = " ".join(f"{key} {value:.3g}" for key, value in sums.items())
            seconds = (time.monotonic() - last) / _PRINTED
            print(f"{run} {training.step} of {recipe.steps}: {words}, {seconds:.2f} s", flush=True)
            sums, last = {}, time.monotonic()
        if training.step % _WATCH == 0 or training.step == recipe.steps:
            print(f"{run}: {training.look(watched)}", flush=True)
        if training.step % _KEEP == 0:
            training.save(work / f"{run}.pt")
    training.save(work / f"{run}.pt")
    if training.step < recipe.steps:
        return False
    told = {
        "recipe": asdict(recipe),
        "schedules": training.schedules,
        "history": [asdict(row) for row in training.history],
    }
    (work / f"{run}.json").write_text(json.dumps(told, indent=1) + "\n")
    detector = training.detector if training.victim is None else None
    paper.save(work / f"{run}.safetensors", training.injector, detector, told)
    nets = {"injector or restorer": training.injector, **({"detector": detector} if detector is not None else {})}
    write_card(
        work / run,
        purpose="the universal adversarial signature of arXiv 2305.16310, or an attack on it.",
        nets=nets,
        sources=sources,
        command=f"python -m provenance.training.paper_signature WORK {run} --size {recipe.profile}"
        f" --steps {recipe.steps}",
        size=recipe.profile,
        told=told,
    )
    return True


def main() -> None:
    """Train runs that are not finished, in the order of :data:`RUNS`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for caches and checkpoints, outside the repository")
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"all by default: {', '.join(RUNS)}")
    parser.add_argument("--size", choices=list(paper.PROFILES), default="small")
    parser.add_argument("--pictures", type=Path, help="a folder, instead of the archives of PROVENANCE_DATA")
    parser.add_argument("--steps", type=int, help="of each run, other than the recipe's")
    parser.add_argument("--device", type=device, default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; a later start goes on")
    arguments = parser.parse_args()
    if unknown := set(arguments.runs) - set(RUNS):
        parser.error(f"There is no run {', '.join(sorted(unknown))}; there are {', '.join(RUNS)}.")
    if min(arguments.threads, 1 if arguments.steps is None else arguments.steps) < 1:
        parser.error("--steps and --threads must be 1 or more.")
    torch.set_num_threads(arguments.threads)
    work: Path = arguments.work
    if work.is_file():
        parser.error(f"{work} is a file; name a folder.")
    try:
        work.mkdir(parents=True, exist_ok=True)
        sources = of_size(arguments.size, arguments.pictures, work / "pictures")
        for run in RUNS:
            if arguments.runs and run not in arguments.runs:
                continue
            training = started(work, run, arguments.size, arguments.device, arguments.steps)
            if (work / f"{run}.safetensors").exists() and training.step >= training.recipe.steps:
                continue
            if not train(work, run, training, sources, arguments.minutes):
                break
    except (DataMissing, ModelError, OSError, ValueError) as problem:
        parser.exit(2, f"{problem}\n")


if __name__ == "__main__":
    main()
