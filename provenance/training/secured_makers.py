"""The generators that stage two of the universal adversarial signature teaches to sign, each with its own training."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from provenance.artwork.tiers import load_small_vqgan, load_text_image
from provenance.models.paper_signature_nets import UNetConfig
from provenance.models.small_diffusion import STEPS, Diffusion
from provenance.models.small_gan import GanConfig, Generator, Judge
from provenance.training.perceptual import Perceptual

_KEPT = 0.995
# Of noise steps below this the pictures can be told well enough to show a detector.
_LITTLE = STEPS // 10
_R1, _R1_EVERY = 1.0, 16

Guide = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """The numbers of one phase.

    Attributes:
        size: of :data:`provenance.watermark.paper.PROFILES`.
        code: that the generator is to sign with.
        xi: weight of the detector's loss on what is made, in the phase ``secured``.
        signature: SHA-256 of its file, in the phases that depend on it.
    """

    kind: str
    phase: str
    size: str
    steps: int
    batch: int
    rate: float
    xi: float
    code: tuple[int, ...] = (1,)
    signature: str = ""
    seed: int = 613


class Maker(ABC):
    """A generator in training.

    Attributes:
        nets: what is trained, and what is kept of it. optimisers: by name.
    """

    nets: nn.ModuleDict
    optimisers: dict[str, torch.optim.Optimizer]

    @abstractmethod
    def advance(self, plain: Tensor, wanted: Tensor, guide: Guide | None, step: int) -> dict[str, Tensor]:
        """Take one step.

        Args:
            plain: pictures ``[B, 3, S, S]`` in [-1, 1]. wanted: the same, signed or not.
            guide: the detector's loss, weighed, of made pictures.
        """

    @abstractmethod
    def make(self, plain: Tensor, random: torch.Generator) -> Tensor:
        """Make as many pictures as there are plain ones, which only an autoencoder looks at, with ``nets`` in eval
        mode; about [-1, 1]."""


class VqganMaker(Maker):
    """The decoder, with encoder and codebooks frozen; absolute error and features, as it was trained at first."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        vqgan = load_small_vqgan().to(device)
        self.vqgan, self.weight = vqgan, 0.25
        self.nets = nn.ModuleDict({"decoder": vqgan.decoder.requires_grad_(True)})
        self.perceptual = Perceptual(load_text_image()[0].features.eval()).to(device)
        self.optimisers = {"decoder": torch.optim.Adam(vqgan.decoder.parameters(), recipe.rate or 1e-4, fused=True)}

    def advance(self, plain: Tensor, wanted: Tensor, guide: Guide | None, step: int) -> dict[str, Tensor]:
        with torch.no_grad():
            latents = self.vqgan.look_up(self.vqgan.encode(plain))
        made = self.nets["decoder"](latents)
        losses = {"absolute": (made - wanted).abs().mean(), "features": self.perceptual(made, wanted).mean()}
        loss = losses["absolute"] + self.weight * losses["features"]
        if guide is not None:
            losses["guide"] = guide(made)
            loss = loss + losses["guide"]
        _descend(loss, self.optimisers["decoder"])
        return losses

    def make(self, plain: Tensor, random: torch.Generator) -> Tensor:
        return self.vqgan.decode(self.vqgan.encode(plain))


class GanMaker(Maker):
    """Generator, judge and the generator's moving average; the non-saturating loss and R1 every 16 steps, without
    the regularisation of path lengths."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        config = GanConfig() if recipe.size == "small" else GanConfig(256, 512, 8, 64, 512)
        generator, judge = Generator(config), Judge(config)
        self.latent = config.latent
        average = copy.deepcopy(generator).requires_grad_(False)
        self.nets = nn.ModuleDict({"generator": generator, "judge": judge, "average": average}).to(device)
        self.optimisers = {
            name: torch.optim.Adam(self.nets[name].parameters(), recipe.rate, (0.0, 0.99), fused=True)
            for name in ("generator", "judge")
        }

    def advance(self, plain: Tensor, wanted: Tensor, guide: Guide | None, step: int) -> dict[str, Tensor]:
        generator, judge = self.nets["generator"], self.nets["judge"]
        latent = torch.randn(2, len(plain), self.latent, device=plain.device)
        with torch.no_grad():
            fakes = generator(latent[0])
        losses = {"judged": functional.softplus(judge(fakes)).mean() + functional.softplus(-judge(wanted)).mean()}
        loss = losses["judged"]
        if step % _R1_EVERY == 0:
            real = wanted.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(judge(real).sum(), real, create_graph=True)
            loss = loss + _R1 / 2 * _R1_EVERY * slope.square().sum((1, 2, 3)).mean()
        _descend(loss, self.optimisers["judge"])
        judge.requires_grad_(False)
        made = generator(latent[1])
        losses["fooled"] = functional.softplus(-judge(made)).mean()
        loss = losses["fooled"]
        if guide is not None:
            losses["guide"] = guide(made)
            loss = loss + losses["guide"]
        _descend(loss, self.optimisers["generator"])
        judge.requires_grad_(True)
        _average(self.nets["average"], generator)
        return losses

    def make(self, plain: Tensor, random: torch.Generator) -> Tensor:
        latent = torch.randn(len(plain), self.latent, generator=random).to(plain)
        made: Tensor = self.nets["average"](latent, random)
        return made


class DiffusionMaker(Maker):
    """The network that tells noise, and its moving average."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        small = UNetConfig(16, (1, 2, 2), blocks=1, attention=(4,), head=16, groups=4, dropout=0.0)
        net = Diffusion(small if recipe.size == "small" else UNetConfig(128, (1, 1, 2, 2, 4, 4), dropout=0.0))
        average = copy.deepcopy(net).requires_grad_(False)
        self.nets = nn.ModuleDict({"net": net, "average": average}).to(device)
        self.optimisers = {"net": torch.optim.Adam(net.parameters(), recipe.rate, fused=True)}

    def advance(self, plain: Tensor, wanted: Tensor, guide: Guide | None, step: int) -> dict[str, Tensor]:
        net = self.nets["net"]
        assert isinstance(net, Diffusion)
        times = torch.randint(0, STEPS, (len(wanted),), device=wanted.device)
        noise = torch.randn_like(wanted)
        noisy = net.noised(wanted, noise, times)
        told = net(noisy, times)
        losses = {"noise": functional.mse_loss(told, noise)}
        loss = losses["noise"]
        little = times < _LITTLE
        if guide is not None and little.any():
            losses["guide"] = guide(net.cleaned(noisy[little], told[little], times[little]))
            loss = loss + losses["guide"]
        _descend(loss, self.optimisers["net"])
        _average(self.nets["average"], net)
        return losses

    def make(self, plain: Tensor, random: torch.Generator) -> Tensor:
        average = self.nets["average"]
        assert isinstance(average, Diffusion)
        return average.sample(torch.randn(plain.shape, generator=random).to(plain))


MAKERS: dict[str, Callable[[Recipe, torch.device], Maker]] = {
    "vqgan": VqganMaker,
    "gan": GanMaker,
    "diffusion": DiffusionMaker,
}


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


@torch.no_grad()
def _average(average: nn.Module, net: nn.Module) -> None:
    for kept, parameter in zip(average.parameters(), net.parameters(), strict=True):
        kept.lerp_(parameter, 1 - _KEPT)
