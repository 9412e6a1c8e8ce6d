from __future__ import annotations

import pytest
import torch

from provenance.models.paper_signature_nets import UNetConfig
from provenance.models.small_diffusion import STEPS, Diffusion, kept_shares
from provenance.models.small_gan import GanConfig, Generator, Judge

TINY = UNetConfig(8, (1, 2), blocks=1, attention=(), head=8, groups=4, dropout=0.0)


def test_the_schedule_falls_from_all_to_almost_nothing() -> None:
    kept = kept_shares()
    assert kept.shape == (STEPS,)
    assert (kept.diff() <= 0).all()
    assert kept[0] > 0.999
    assert kept[-1] == pytest.approx(1e-4)


def test_what_is_noised_can_be_cleaned_by_who_knows_the_noise() -> None:
    net = Diffusion(TINY)
    pixels, noise, step = torch.rand(3, 3, 8, 8) * 2 - 1, torch.randn(3, 3, 8, 8), torch.tensor([0, 400, 800])
    noisy = net.noised(pixels, noise, step)
    assert torch.allclose(net.cleaned(noisy, noise, step), pixels, atol=1e-4)
    assert noisy[0].sub(pixels[0]).abs().mean() < 0.05 < noisy[2].sub(pixels[2]).abs().mean()


def test_a_network_that_knows_the_noise_samples_the_picture() -> None:
    class Knows(Diffusion):
        def forward(self, noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
            kept = self.kept[step].view(-1, 1, 1, 1)
            return (noisy - kept.sqrt() * 0.25) / (1 - kept).sqrt()

    made = Knows(TINY).sample(torch.randn(2, 3, 8, 8), steps=7)
    assert torch.allclose(made, torch.tensor(0.25), atol=1e-3)


def test_the_time_step_is_heard() -> None:
    torch.manual_seed(0)
    net = Diffusion(TINY)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    noisy = torch.randn(1, 3, 8, 8).expand(2, -1, -1, -1)
    told = net(noisy, torch.tensor([3, 700]))
    assert (told[0] - told[1]).abs().max() > 1e-3


def test_each_picture_has_its_own_weights() -> None:
    torch.manual_seed(0)
    config = GanConfig(16, latent=8, mapping=1, channels=4, most=8)
    assert config.widths == [8, 8, 4]
    generator, judge = Generator(config), Judge(config)
    latent = torch.randn(3, 8)
    together = generator(latent, torch.Generator().manual_seed(1))
    assert together.shape == (3, 3, 16, 16)
    assert (together[0] - together[1]).abs().max() > 1e-3
    # The noise has no strength before training.
    assert torch.allclose(together[1:2], generator(latent[1:2]), atol=1e-5)
    assert judge(together).shape == (3,)


def test_scaling_a_style_changes_nothing_after_demodulation() -> None:
    torch.manual_seed(0)
    layer = Generator(GanConfig(8, latent=8, mapping=1, channels=4, most=4)).layers[0][0].conv
    x, latent = torch.randn(1, 4, 4, 4), torch.randn(1, 8)
    with torch.no_grad():
        before = layer(x, latent)
        layer.style.weight.mul_(7)
        layer.style.bias.mul_(7)
        assert torch.allclose(layer(x, latent), before, atol=1e-5)


def test_equal_pictures_have_a_slope_at_the_judge() -> None:
    judge = Judge(GanConfig(8, latent=8, mapping=1, channels=4, most=4))
    pixels = torch.zeros(2, 3, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(judge(pixels).sum(), pixels)
    assert slope.isfinite().all()
