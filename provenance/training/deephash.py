"""Train one of the four autoencoders of deep hashing (J.UCS 2023) on one's own pictures or on the data sets here::

    python -m provenance.training.deephash con-vae 64 WORK --pictures FOLDER
    python -m provenance.training.deephash vte 128 WORK --pictures photographs --scale 1 --epochs 2000 --device cuda
    python -m provenance.training.deephash con-vae 16 WORK --pictures cifar

``WORK`` gets the pictures as grey levels, a checkpoint, ``NAME.safetensors`` (float16), ``NAME.json`` with error and
PSNR by epoch, and ``NAME.png`` with their curves where matplotlib is installed. A killed run goes on from its last
checkpoint, with the draws that it would have had. Adam at 1e-3 under cosine annealing, as the paper says; 2,000 epochs
at ``--scale 1`` are its budget. On a GPU in bfloat16 where it has that.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save

from provenance.models.autoencoder_nets import BITS, KINDS, Architecture, Autoencoder
from provenance.training.deephash_pictures import (
    CannotTrain,
    GreyPictures,
    Levels,
    Rows,
    check_pictures,
    cifar,
    folder,
    folder_key,
    photographs,
)
from provenance.training.devices import device
from provenance.training.pictures import DataMissing, Part

BATCH = 32
LEARNING_RATE = 1e-3
CHECKPOINT_SECONDS = 20.0
_WATCHED = 256


@dataclass(frozen=True)
class Epoch:
    """What an epoch ended with: mean squared error in squared grey levels, and mean PSNR in dB of single pictures."""

    train_mse: float
    train_psnr: float
    tune_mse: float
    tune_psnr: float


def precision(device: torch.device) -> torch.autocast:
    """Return mixed precision where the device has it: bfloat16 on a GPU that computes it; a processor stays exact."""
    has = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=has)


class OtherTraining(ValueError):
    """A checkpoint is of other pictures, epochs or sizes than those asked for."""


class Trainer:
    """One training, in steps that may be taken by several processes one after the other.

    Args:
        levels: uint8 ``[N, side, side]``, mapped from a file or not.
        train: rows to learn from. tune: rows that are only looked at, by which curves are drawn; may be empty.
        checkpoint: file of the state; where it is there, the training goes on from it.

    Raises:
        CannotTrain: the rows, those that are only looked at included, teach nothing.
        OtherTraining: the checkpoint is another training's.
    """

    def __init__(
        self,
        architecture: Architecture,
        levels: Levels,
        *,
        train: Rows,
        tune: Rows,
        epochs: int,
        checkpoint: Path,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        check_pictures(levels, np.union1d(train, tune))
        self.levels, self.train, self.tune = levels, train, tune
        self.epochs, self.checkpoint, self.seed = epochs, checkpoint, seed
        self.device = torch.device(device)
        torch.manual_seed(seed)
        self.net = Autoencoder(architecture).to(self.device)
        self.optimiser = torch.optim.Adam(self.net.parameters(), LEARNING_RATE)
        self.step, self.history = 0, list[Epoch]()
        self._order = (-1, train)
        self.steps_an_epoch = max(1, len(train) // BATCH)
        if checkpoint.exists():
            saved = torch.load(checkpoint, map_location=self.device, weights_only=True)
            if saved["of"] != self._identity():
                raise OtherTraining(f"{checkpoint} is of another training: {saved['of']}. Delete it to begin anew.")
            self.net.load_state_dict(saved["net"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step, self.history = saved["step"], [Epoch(**row) for row in saved["history"]]

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * self.steps_an_epoch

    def run(self, go_on: Callable[[int, int], bool]) -> bool:
        """Train; return whether it is finished.

        Args:
            go_on: told the steps done and all steps after each; False stops the training, which is kept.

        Raises:
            CannotTrain: the error grew past all numbers.
        """
        saved_at = time.monotonic()
        while self.step < self.steps:
            self._take_step()
            ended = self.step % self.steps_an_epoch == 0
            if ended:
                self.history.append(self._look())
            stop = not go_on(self.step, self.steps)
            if stop or self.step == self.steps or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                self._save()
                saved_at = time.monotonic()
            if stop and self.step < self.steps:
                return False
        return True

    def finish(self) -> Autoencoder:
        """Return the trained net in eval mode with its thresholds, the means over the rows it learnt from."""
        self.net.eval()
        total = torch.zeros(self.net.architecture.bits, dtype=torch.float64)
        with torch.inference_mode():
            for rows in np.array_split(self.train, -(-len(self.train) // BATCH)):
                total += self.net.encode(self._pictures(rows)).mean.double().sum(0).cpu()
        self.net.threshold.copy_(total / len(self.train))
        return self.net.cpu()

    def _take_step(self) -> None:
        epoch, number = divmod(self.step, self.steps_an_epoch)
        if self._order[0] != epoch:
            random = np.random.Generator(np.random.Philox(key=self.seed + epoch))
            self._order = (epoch, random.permutation(self.train))
        torch.manual_seed((self.seed << 32) + self.step)
        rate = LEARNING_RATE * (0.5 + 0.5 * math.cos(math.pi * self.step / self.steps))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.net.train()
        with precision(self.device):
            loss = self.net.loss(self._pictures(self._order[1][number * BATCH : (number + 1) * BATCH]))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.step += 1

    def _pictures(self, rows: Rows) -> torch.Tensor:
        return torch.from_numpy(self.levels[np.sort(rows)]).unsqueeze(1).to(self.device).float() / 255

    @torch.no_grad()
    def _look(self) -> Epoch:
        self.net.eval()
        figures = []
        for rows in (self.train[:_WATCHED], self.tune[:_WATCHED]):
            if not len(rows):
                figures += [math.nan, math.nan]
                continue
            pictures = self._pictures(rows)
            error = (255 * (self.net(pictures)[0] - pictures)).square().mean((1, 2, 3)).double()
            psnr = 10 * (255**2 / error.clamp(min=1e-12)).log10()
            figures += [float(error.mean()), float(psnr.mean())]
        if not math.isfinite(figures[0]):
            raise CannotTrain("The training failed: its error grew past all numbers. Try another architecture.")
        return Epoch(*figures)

    def _identity(self) -> dict[str, Any]:
        return {
            **self.net.architecture.metadata(),
            "epochs": self.epochs,
            "pictures": len(self.train),
            "seed": self.seed,
        }

    def _save(self) -> None:
        state = {
            "of": self._identity(),
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "history": [asdict(row) for row in self.history],
        }
        part = self.checkpoint.with_suffix(".part")
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self.checkpoint)


def save_weights(net: Autoencoder, path: Path) -> None:
    """Write a net as float16, with its architecture, at once or not at all, power cuts included."""
    part = path.with_suffix(".part")
    tensors = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}
    with part.open("wb") as file:
        file.write(save(tensors, net.architecture.metadata()))
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def draw_curves(history: Sequence[Epoch], path: Path) -> None:
    """Draw error and PSNR by epoch, if matplotlib is there."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, name, unit in zip(axes, ("mse", "psnr"), ("MSE, squared grey levels", "PSNR, dB"), strict=True):
        for part in ("train", "tune"):
            axis.plot(range(1, len(history) + 1), [getattr(row, f"{part}_{name}") for row in history], label=part)
        axis.set(xlabel="epoch", ylabel=unit)
        axis.legend()
    figure.savefig(path)


def train_here(trainer: Trainer, stem: Path) -> Autoencoder:
    """Train to the end with a progress bar, writing weights and curves to ``stem`` with their suffixes."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(stem.name, total=trainer.steps, completed=trainer.step)
        drawn = len(trainer.history)

        def go_on(done: int, _all: int) -> bool:
            nonlocal drawn
            bar.update(task, completed=done)
            if len(trainer.history) > drawn:
                drawn = len(trainer.history)
                rows = [
                    {name: None if math.isnan(value) else value for name, value in asdict(row).items()}
                    for row in trainer.history
                ]
                stem.with_suffix(".json").write_text(json.dumps(rows) + "\n")
                draw_curves(trainer.history, stem.with_suffix(".png"))
                last = trainer.history[-1]
                tuning = "" if math.isnan(last.tune_psnr) else f", tuning pictures {last.tune_psnr:.2f} dB"
                bar.console.print(f"{drawn}: {last.train_psnr:.2f} dB{tuning}")
            return True

        trainer.run(go_on)
    net = trainer.finish()
    save_weights(net, stem.with_suffix(".safetensors"))
    return net


def pictures_of(name: str, cache: Path) -> tuple[GreyPictures, Rows, Rows]:
    """Return pictures with the rows to learn from and those to look at: ``photographs``, ``cifar`` or a folder.

    Of CIFAR-10 the 10,000 test pictures are learnt from, as in the paper. Of a folder every picture is: it is the
    registry whose hash is wanted.

    Raises:
        DataMissing: they are not there.
    """
    if name == "photographs":
        found = photographs(cache)
        return found, found.of(Part.TRAIN), found.of(Part.TUNE)
    if name == "cifar":
        found = cifar(cache)
        test = np.array([each.startswith("test/") for each in found.names])
        return found, np.flatnonzero(test), np.flatnonzero(~test)[:: max(1, int((~test).sum()) // _WATCHED)]
    found = folder(Path(name), cache)
    return found, np.arange(len(found.levels)), np.empty(0, np.int64)


def main() -> None:
    """Train one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("bits", type=int, choices=BITS)
    parser.add_argument("work", type=Path, help="folder, outside that of the pictures, for all that comes out")
    parser.add_argument("--pictures", default="photographs", help="a folder, or photographs or cifar (PROVENANCE_DATA)")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--scale", type=float, default=0.375, help="of the paper's widths")
    parser.add_argument("--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    if arguments.epochs < 1 or not 0 < arguments.scale <= 1:
        parser.error("--epochs is at least 1, --scale above 0 and at most 1")
    if arguments.threads < 1:
        parser.error("--threads is at least 1")
    known = arguments.pictures in ("photographs", "cifar")
    if not known and arguments.work.resolve().is_relative_to(Path(arguments.pictures).resolve()):
        parser.error(f"{arguments.work} lies in the folder of the pictures; what comes out would be among them")
    torch.set_num_threads(arguments.threads)
    try:
        found, train, tune = pictures_of(arguments.pictures, arguments.work / "pictures")
        source = arguments.pictures if known else folder_key(Path(arguments.pictures))
        stem = arguments.work / f"{source}-{arguments.kind}-{arguments.bits}"
        architecture = Architecture(arguments.kind, arguments.bits, found.levels.shape[1], arguments.scale)
        trainer = Trainer(
            architecture,
            found.levels,
            train=train,
            tune=tune,
            epochs=arguments.epochs,
            checkpoint=stem.with_suffix(".pt"),
            device=arguments.device,
        )
        train_here(trainer, stem)
    except (DataMissing, CannotTrain, OtherTraining) as problem:
        parser.exit(2, f"{problem}\n")
    except (FileExistsError, NotADirectoryError, PermissionError) as problem:
        parser.exit(2, f"{problem.filename}: {problem.strerror}.\n")
    print(f"{stem}.safetensors: {architecture.bits} bits, {sum(p.numel() for p in trainer.net.parameters()):,} numbers")


if __name__ == "__main__":
    main()
