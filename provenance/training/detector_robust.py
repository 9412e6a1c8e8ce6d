"""Fine-tune a detector's tower against attacks without telling it what it is for (FARE)::

    python -m provenance.training.detector_robust WORK --tower text-image --steps 400 --batch 8 --iterations 4
    python -m provenance.training.detector_robust WORK --tower dfn5b-vit-h-14 --device cuda
    python -m provenance.training.detector WORK/robust --weights WORK/robust-text-image.safetensors

Schlarmann et al., "Robust CLIP" (ICML 2024), as the DinoHash paper uses it (arXiv 2503.11195): the tower is trained to
give for an attacked picture the features that its frozen copy gives for the clean one, by the squared distance, summed
over the features; attacked is what puts them farthest apart within eps. Everything is in pixels from 0 to 1, before any
normalisation. The defaults are the authors': eps 4/255, 10 steps of 1/255, 20,000 steps of 128 pictures, AdamW, rate
1e-5, weight decay 1e-4, 1,400 steps of warm-up, then a cosine to 0. The shipped tower's features have a scale each:
there distances are in their standard deviations over some pictures. The third command fits and calibrates a detector on
what came of it.

Pictures: the training part of ``provenance.training.detector_pictures``. A run goes on from ``WORK/robust-<tower>.pt``.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from provenance.detection.tower import SHIPPED, PublishedTower, ShippedTower, Tower, tower_named
from provenance.detection.views import levelled
from provenance.models import store
from provenance.models.checkpoints import UNREADABLE, read_tensors
from provenance.models.errors import ModelCorrupt, ModelError
from provenance.models.vision_towers import TOWERS
from provenance.training.detector import random_square, work_folder
from provenance.training.detector_pictures import DRAWINGS, GENERATORS, RGB, present, samples
from provenance.training.devices import device
from provenance.training.pictures import DataMissing, Part, data_folder

_KEEP = 50
_PICTURES = 400
# Of so many pictures the shipped tower's features get their scales; a feature that is always the same gets the least.
_SCALED, _LEAST_SCALE = 64, 1e-2


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training.

    Attributes:
        eps, stride: radius and step of the attack, pixels from 0 to 1.
        iterations: of the attack.
        rate: highest learning rate.
        warm_up: steps of linear growth to it.
        seed: of all draws.
    """

    steps: int = 20_000
    batch: int = 128
    eps: float = 4 / 255
    stride: float = 1 / 255
    iterations: int = 10
    rate: float = 1e-5
    warm_up: int = 1400
    seed: int = 317

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, 0 being the first."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.5 + 0.5 * math.cos(math.pi * done))


def distances(features: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared distance of each picture's features, ``[B]``: summed over them, not averaged."""
    return (features - wanted).square().sum(1)


def deviations(tower: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """Return the standard deviation of each feature over pictures ``[B, 3, S, S]`` in [0, 1], ``[width]``."""
    with torch.no_grad():
        return tower(pictures).std(0) + _LEAST_SCALE


def pushed_apart(
    tower: Callable[[Tensor], Tensor], clean: Tensor, wanted: Tensor, recipe: Recipe, random: torch.Generator
) -> Tensor:
    """Return pictures within eps of clean ones, ``[B, 3, S, S]`` in [0, 1], whose features lie far from the wanted.

    Projected gradient ascent from a random start (Madry et al., ICLR 2018); the farthest iterate of each is kept.
    """
    start = (torch.rand(clean.shape, generator=random) * 2 - 1).to(clean) * recipe.eps
    x = best = (clean + start).clamp(0, 1)
    farthest = torch.full((len(clean),), -math.inf, device=clean.device)
    for left in range(recipe.iterations, -1, -1):
        x = x.detach().requires_grad_()
        apart = distances(tower(x), wanted)
        farther = apart.detach() > farthest
        best = torch.where(farther.view(-1, 1, 1, 1), x.detach(), best)
        farthest = torch.maximum(farthest, apart.detach())
        if left:
            (gradient,) = torch.autograd.grad(apart.sum(), x)
            moved = x.detach() + recipe.stride * gradient.sign()
            x = torch.clamp(torch.clamp(moved, clean - recipe.eps, clean + recipe.eps), 0, 1)
    return best


class Training:
    """A tower in fine-tuning, and all that a checkpoint keeps."""

    def __init__(self, tower: nn.Module, recipe: Recipe, scale: Tensor | None = None) -> None:
        self.tower = tower.eval().requires_grad_(False)
        self.frozen = copy.deepcopy(self.tower)
        self.recipe = recipe
        self.scale = scale
        self.step = 0
        self.optimiser = torch.optim.AdamW(self.tower.parameters(), recipe.rate, weight_decay=1e-4)

    def advance(self, clean: Tensor) -> tuple[float, float]:
        """Take one step on pictures ``[B, 3, S, S]`` in [0, 1]; return the mean distance of the attacked ones' features
        before it, by the tower in training and by the frozen one."""
        random = torch.Generator().manual_seed(self.recipe.seed + self.step)
        with torch.no_grad():
            wanted = self._seen(self.frozen, clean)
        # Gradients of the weights are not wanted here, and would cost as much again.
        attacked = pushed_apart(lambda x: self._seen(self.tower, x), clean, wanted, self.recipe, random)
        with torch.no_grad():
            before = float(distances(self._seen(self.frozen, attacked), wanted).mean())
        self.tower.requires_grad_(True)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        loss = distances(self._seen(self.tower, attacked), wanted).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.tower.requires_grad_(False)
        self.step += 1
        return float(loss.detach()), before

    def _seen(self, tower: nn.Module, x: Tensor) -> Tensor:
        features: Tensor = tower(x)
        return features if self.scale is None else features / self.scale

    def save(self, checkpoint: Path) -> None:
        """Write all that the next run needs, at once or not at all."""
        state = {
            "step": self.step,
            "recipe": asdict(self.recipe),
            "tower": self.tower.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").rename(checkpoint)

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it is damaged, or was made with other numbers.
        """
        try:
            saved = torch.load(checkpoint, weights_only=True, map_location="cpu")
            recipe = saved["recipe"]
            if recipe == asdict(self.recipe):
                self.tower.load_state_dict(saved["tower"])
                self.optimiser.load_state_dict(saved["optimiser"])
                self.step = saved["step"]
        except (OSError, *UNREADABLE) as problem:
            first_line = (str(problem) or type(problem).__name__).splitlines()[0]
            raise ValueError(
                f"{checkpoint} cannot be gone on from ({first_line}). If it is damaged or of another net, remove it."
            ) from problem
        if recipe != asdict(self.recipe):
            raise ValueError(f"{checkpoint} was made with other numbers: {recipe}. Use those, or remove it.")


def write_weights(tower: Tower, recipe: Recipe, path: Path) -> None:
    """Write a tower's weights under the names that :func:`provenance.detection.tower.tower_named` reads, with the
    numbers of their training."""
    if isinstance(tower, ShippedTower):
        rest = {key: t for key, t in load_file(store.path(SHIPPED)).items() if not key.startswith("image.features.")}
        found: dict[str, Any] = {f"image.features.{key}": t for key, t in tower.net.state_dict().items()} | rest
    else:
        assert isinstance(tower, PublishedTower)
        found = {f"visual.{key}": tensor for key, tensor in tower.net.state_dict().items()}
        # The projection, which the detector does without and the file has.
        before = read_tensors(store.path(tower.name), tower.name)
        found |= {key: t for key, t in before.items() if key.startswith("visual.") and key not in found}
    tensors = {key: tensor.cpu().contiguous() for key, tensor in found.items()}
    save_file(tensors, path, {"recipe": json.dumps(asdict(recipe))})


def recipe_of(path: Path) -> Recipe:
    """Return the numbers of the training that wrote a file of :func:`write_weights`.

    Raises:
        ModelCorrupt: it is something else.
    """
    try:
        with safe_open(path, "pt") as file:
            return Recipe(**json.loads(file.metadata()["recipe"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise ModelCorrupt("fine-tuned tower", path, f"it is damaged, or another program's ({problem}).") from problem


def main() -> None:
    """Run the recipe."""
    usual = Recipe()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=work_folder, help="folder for checkpoints, outside the repository")
    parser.add_argument("--tower", default=SHIPPED, choices=(SHIPPED, *TOWERS), help="name of a tower's model")
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--batch", type=int, default=usual.batch)
    parser.add_argument("--iterations", type=int, default=usual.iterations, help="of the attack")
    parser.add_argument("--rate", type=float, default=usual.rate)
    parser.add_argument("--device", type=device, default="cpu")
    arguments = parser.parse_args()
    recipe = Recipe(
        steps=arguments.steps,
        batch=arguments.batch,
        iterations=arguments.iterations,
        rate=arguments.rate,
        warm_up=round(arguments.steps * usual.warm_up / usual.steps),
    )
    try:
        tower = tower_named(arguments.tower)
        sources = [name for name in ("flickr8k", "caltech101", *DRAWINGS, *GENERATORS) if present(name)]
        pictures = [one.pixels for name in sources for one in samples(name, {Part.TRAIN: _PICTURES})]
    except (ModelError, DataMissing) as problem:
        parser.error(str(problem))
    if not pictures:
        parser.error(f"There are no pictures in {data_folder()}. Set PROVENANCE_DATA to the folder that has them.")
    assert isinstance(tower, nn.Module)
    tower.to(arguments.device)
    scale = None
    if arguments.tower == SHIPPED:
        some = pictures[:: max(1, len(pictures) // _SCALED)]
        scale = deviations(tower, _squares(some, tower.side, 0).to(arguments.device))
    training = Training(tower, recipe, scale)
    checkpoint = arguments.work / f"robust-{arguments.tower}.pt"
    if checkpoint.exists():
        try:
            training.resume(checkpoint)
        except ValueError as problem:
            parser.error(str(problem))
    while training.step < recipe.steps:
        random = np.random.default_rng(recipe.seed + training.step)
        chosen = random.choice(len(pictures), min(recipe.batch, len(pictures)), replace=False)
        batch = _squares([pictures[row] for row in chosen], tower.side, training.step)
        loss, before = training.advance(batch.to(arguments.device))
        if training.step % 10 == 0:
            print(f"{training.step} of {recipe.steps}: {loss:.2f}, by the frozen tower {before:.2f}", flush=True)
        if training.step % _KEEP == 0:
            training.save(checkpoint)
    training.save(checkpoint)
    write_weights(tower, recipe, arguments.work / f"robust-{arguments.tower}.safetensors")


def _squares(pictures: list[RGB], side: int, seed: int) -> Tensor:
    random = np.random.default_rng(seed)
    found = np.stack([random_square(levelled(pixels), random, side) for pixels in pictures])
    return torch.from_numpy(found).permute(0, 3, 1, 2).float() / 255


if __name__ == "__main__":
    main()
