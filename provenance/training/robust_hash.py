"""Make a hash hold against edits that were calculated to break it::

    python -m provenance.training.robust_hash WORK --net dinohash-house-v2
    python -m provenance.training.robust_hash WORK --net dinohash-house-v1 --steps 2000 --batch 48 --iterations 3
    python -m provenance.training.robust_hash WORK --net dinohash-v1 --device cuda

The backbone is fine-tuned on attacked pictures to give the logits that its frozen copy gives to the clean ones, and on
clean ones to stay where it is; centre and components stay as they are, and so hashes made before are still found
(DinoHash, arXiv 2503.11195). The defaults are those of its authors: APGD with 10 iterations at 8/255, clean pictures
weighted 500 times, AdamW (0.9, 0.95), weight decay 1e-4, 20,000 steps of 200 pictures, 1,400 of them warm-up, then a
cosine to 0. Layers of batch normalisation keep the statistics that they have.

Pictures: the training part of ``provenance.training.pictures``, in ``WORK/pictures``. Checkpoints go to
``WORK/robust-<net>.pt``, a run goes on from there, and the net, as ``HashNet.state_dict()``, ends up in
``WORK/robust-<net>.safetensors``.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from provenance.hashing.dinohash import squared
from provenance.models import store
from provenance.models.checkpoints import fill, read_tensors
from provenance.models.copy_net import PLAIN_HASH, ROBUST_HASH, new_hash_net
from provenance.models.dinohash import PUBLISHED, load_published
from provenance.models.hash_net import HashNet
from provenance.training.apgd import Attack, Logits, apgd, evade
from provenance.training.artwork_pictures import load_pictures
from provenance.training.copy_detection import rows_of
from provenance.training.devices import device
from provenance.training.pictures import Part

_OURS = {"dinohash-house-v1": PLAIN_HASH, "dinohash-house-v2": ROBUST_HASH}
# What a logit is multiplied by before it becomes a probability, here and in the attack.
_SHARPNESS, _ATTACK_SHARPNESS = 10.0, 20.0
_REPORT, _KEEP = 20, 100
_EVALUATED = 48

Squares = Callable[[npt.NDArray[np.int64]], Tensor]


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training.

    Attributes:
        steps: of the optimiser.
        batch: pictures a step.
        rate: highest learning rate.
        warm_up: steps of linear growth to it.
        clean_weight: of the clean pictures' loss, lambda.
        eps: radius of the attack, pixels from 0 to 1.
        jitter: draw each picture's radius from eps times 0.5 to 1.5, as its authors do in later versions.
        iterations: of the attack.
        gain: what logits are multiplied by first: 1 for the published nets. 0 means that which brings the frozen
            net's logits to a root mean square of 2.
        half: run the net in bfloat16 where PyTorch's autocast does, in training and its attacks, not in the figures.
        seed: of all draws.
    """

    steps: int = 20_000
    batch: int = 200
    rate: float = 1e-4
    warm_up: int = 1400
    clean_weight: float = 500.0
    eps: float = 8 / 255
    jitter: bool = False
    iterations: int = 10
    gain: float = 1.0
    half: bool = False
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, 0 being the first."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.5 + 0.5 * math.cos(math.pi * done))


def losses(net: Logits, frozen: Tensor, clean: Tensor, attacked: Tensor, gain: float) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy on attacked and on clean pictures.

    Args:
        net: in training; pixels to logits.
        frozen: logits of the frozen net for the clean pictures, ``[B, bits]``.
        clean: float ``[B, 3, side, side]`` in [0, 1].
        attacked: the same pictures after the attack.
        gain: see :class:`Recipe`.
    """
    wanted = torch.sigmoid(_SHARPNESS * gain * frozen)
    on_attacked, on_clean = (
        functional.binary_cross_entropy_with_logits(_SHARPNESS * gain * net(x), wanted) for x in (attacked, clean)
    )
    return on_attacked, on_clean


class Training:
    """A net in fine-tuning, and all that a checkpoint keeps."""

    def __init__(self, net: HashNet, recipe: Recipe) -> None:
        self.net = net.eval().requires_grad_(False)
        self.frozen = copy.deepcopy(self.net)
        self.net.backbone.requires_grad_(True)
        self.recipe = recipe
        self.gain = recipe.gain
        self.step = 0
        self.optimiser = torch.optim.AdamW(
            self.net.backbone.parameters(), recipe.rate, betas=(0.9, 0.95), weight_decay=1e-4
        )

    def advance(self, pixels: Tensor) -> tuple[float, float]:
        """Take one step on uint8 pictures ``[B, 3, side, side]``; return the two losses before it."""
        clean = pixels.float() / 255
        with torch.no_grad():
            frozen = self.frozen(clean)
        if not self.gain:
            self.gain = 2 / float(frozen.square().mean().sqrt())
        random = torch.Generator().manual_seed(self.recipe.seed + self.step)
        eps = torch.full((len(pixels),), self.recipe.eps)
        if self.recipe.jitter:
            eps *= 0.5 + torch.rand(len(pixels), generator=random)
        attack = Attack(iterations=self.recipe.iterations, scale=_ATTACK_SHARPNESS * self.gain)
        # Gradients of the weights are not wanted here, and would cost as much again.
        self.net.backbone.requires_grad_(False)
        attacked, _ = apgd(self._trained, clean, frozen < 0, attack, random, eps)
        self.net.backbone.requires_grad_(True)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        on_attacked, on_clean = losses(self._trained, frozen, clean, attacked, self.gain)
        self.optimiser.zero_grad()
        (on_attacked + self.recipe.clean_weight * on_clean).backward()
        self.optimiser.step()
        self.step += 1
        return on_attacked.item(), on_clean.item()

    def _trained(self, pixels: Tensor) -> Tensor:
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.recipe.half):
            features = self.net.features(pixels)
        return (features.float() - self.net.centre) @ self.net.components.T

    def figures(self, pixels: Tensor, iterations: int = 20) -> dict[str, float]:
        """Measure, on uint8 pictures ``[B, 3, side, side]``, which share of the frozen net's bits for the clean ones
        the trained and the frozen net give to clean and attacked ones."""
        with torch.no_grad():
            bits = self.frozen(pixels.float() / 255) >= 0
            kept = (self.net(pixels.float() / 255) >= 0) == bits
        attack = Attack(eps=self.recipe.eps, iterations=iterations, scale=_ATTACK_SHARPNESS * (self.gain or 1))
        self.net.backbone.requires_grad_(False)
        found = {
            "clean": float(kept.float().mean()),
            "attacked": float((evade(self.net, pixels, attack).bits == bits).float().mean()),
            "attacked before": float((evade(self.frozen, pixels, attack).bits == bits).float().mean()),
        }
        self.net.backbone.requires_grad_(True)
        return found

    def save(self, checkpoint: Path) -> None:
        """Write all that the next run needs, at once or not at all."""
        state = {
            "step": self.step,
            "gain": self.gain,
            "recipe": asdict(self.recipe),
            "net": self.net.state_dict(),
            "frozen": _digest(self.frozen),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").rename(checkpoint)

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it was made with other numbers or from another net.
        """
        saved = torch.load(checkpoint, weights_only=True, map_location="cpu")
        if saved["recipe"] != asdict(self.recipe):
            raise ValueError(f"{checkpoint} was made with other numbers: {saved['recipe']}. Use those, or remove it.")
        if saved["frozen"] != _digest(self.frozen):
            raise ValueError(f"{checkpoint} was made from another net. Start from that one, or remove the checkpoint.")
        self.net.load_state_dict(saved["net"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step, self.gain = saved["step"], saved["gain"]


def train(
    training: Training,
    squares: Squares,
    parts: Mapping[Part, npt.NDArray[np.int64]],
    work: Path,
    name: str,
    minutes: float = math.inf,
) -> None:
    """Train to the end of the recipe or of the time, going on from the checkpoint where there is one.

    Args:
        squares: rows of pictures to uint8 ``[B, 3, side, side]`` on the net's device.
        parts: the rows to train on and those to measure on.
        work: folder of the checkpoints.
        name: of the net, in file names.
        minutes: stop after so long; the next run goes on.
    """
    recipe, checkpoint = training.recipe, work / f"robust-{name}.pt"
    work.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        training.resume(checkpoint)
    began = last = time.monotonic()
    sums = np.zeros(2)
    while training.step < recipe.steps and time.monotonic() - began < 60 * minutes:
        random = np.random.Generator(np.random.Philox(key=recipe.seed + training.step))
        rows = parts[Part.TRAIN]
        sums += training.advance(squares(random.choice(rows, min(recipe.batch, len(rows)), replace=False)))
        if training.step % _REPORT == 0:
            words = f"attacked {sums[0] / _REPORT:.4f} clean {sums[1] / _REPORT:.4f}"
            print(f"{training.step} of {recipe.steps}: {words} {(time.monotonic() - last) / _REPORT:.2f} s", flush=True)
            sums, last = np.zeros(2), time.monotonic()
        if training.step % _KEEP == 0:
            training.save(checkpoint)
            figures = training.figures(squares(parts[Part.TUNE][:_EVALUATED]))
            print(f"bits kept: {', '.join(f'{key} {value:.3f}' for key, value in figures.items())}", flush=True)
    training.save(checkpoint)
    tensors = {key: tensor.cpu().contiguous() for key, tensor in training.net.state_dict().items()}
    save_file(tensors, work / f"robust-{name}.safetensors")


def starting_net(name: str, start: Path | None) -> HashNet:
    """Return the net to fine-tune.

    Args:
        name: of one of our hashes or of a published one.
        start: for ours a file of ``HashNet.state_dict()``, the shipped one by default; for a published hash
            another file of its backbone.

    Raises:
        ModelMissing: a file is not in the model store.
        ModelCorrupt: the file is not of this net.
    """
    if name not in _OURS:
        return load_published(name, start)
    config = _OURS[name]
    net = new_hash_net(config)
    path = start or store.path(config.model)
    floats = {key: t.float() if t.is_floating_point() else t for key, t in read_tensors(path, config.model).items()}
    fill(net, floats, path, config.model, ())
    return net


def main() -> None:
    """Run the recipe."""
    usual = Recipe()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for caches and checkpoints, outside the repository")
    parser.add_argument("--net", choices=(*_OURS, *PUBLISHED), required=True)
    parser.add_argument("--start", type=Path, help="file to start from instead of that in the model store")
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--batch", type=int, default=usual.batch)
    parser.add_argument("--rate", type=float, default=usual.rate)
    parser.add_argument("--warm-up", type=int, help="steps; 7 in 100 by default")
    parser.add_argument("--clean-weight", type=float, default=usual.clean_weight)
    parser.add_argument("--eps", type=float, default=8.0, help="in levels of 255")
    parser.add_argument("--jitter", action="store_true", help="draw each picture's radius from 0.5 to 1.5 of it")
    parser.add_argument("--iterations", type=int, default=usual.iterations, help="of the attack")
    parser.add_argument("--gain", type=float, help="of the logits; 1 for published nets, measured for ours")
    parser.add_argument("--half", action="store_true", help="train in bfloat16 where that is faster")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; a later run goes on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", type=device, default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = Recipe(
        steps=arguments.steps,
        batch=arguments.batch,
        rate=arguments.rate,
        warm_up=round(arguments.steps * usual.warm_up / usual.steps)
        if arguments.warm_up is None
        else arguments.warm_up,
        clean_weight=arguments.clean_weight,
        eps=arguments.eps / 255,
        jitter=arguments.jitter,
        iterations=arguments.iterations,
        gain=(0.0 if arguments.net in _OURS else 1.0) if arguments.gain is None else arguments.gain,
        half=arguments.half,
    )
    net = starting_net(arguments.net, arguments.start).to(arguments.device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = load_pictures(arguments.work / "pictures")

    def squares(rows: npt.NDArray[np.int64]) -> Tensor:
        stacked = np.stack([squared(pictures.pixels[row], net.side) for row in rows])
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).to(arguments.device)

    parts = {part: rows_of(pictures, part) for part in (Part.TRAIN, Part.TUNE)}
    train(Training(net, recipe), squares, parts, arguments.work, arguments.net, arguments.minutes)


def _digest(net: HashNet) -> str:
    digest = hashlib.sha256()
    for key, tensor in net.state_dict().items():
        digest.update(key.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
