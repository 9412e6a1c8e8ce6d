"""The loop as the published notebooks run it, to measure against: stock kernels and autograd through every crop."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from provenance.artwork.recipe import Recipe
from provenance.artwork.tiers import load_small_vqgan, load_text_image
from provenance.models import small_vqgan


class PlainLoop:
    """VQGAN+CLIP on the shipped weights in float32: continuous latent, AdamW, ``recipe.crops`` crops one by one."""

    def __init__(self, recipe: Recipe, prompt: str) -> None:
        torch.manual_seed(42)
        self.recipe = recipe
        self.decoder = load_small_vqgan().decoder
        self.image, text = load_text_image()
        self.image.eval().requires_grad_(False)
        texts = [prompt, ", ".join(recipe.exclusions)]
        with torch.no_grad():
            self.include, self.exclude = (functional.normalize(text(*text.tokens([words]))) for words in texts)
        places = recipe.side // small_vqgan.STRIDE
        self.latent = nn.Parameter(torch.rand(1, small_vqgan.LATENT, places, places) - 0.5)
        self.optimiser = torch.optim.AdamW([self.latent], recipe.learning_rate, weight_decay=recipe.weight_decay)

    def step(self) -> float:
        """Take one iteration and return its loss."""
        pixels = (self.decoder(self.latent).clamp(-1, 1) + 1) / 2
        embedded = functional.normalize(self.image(self._crops(pixels) * (255 / 128) - 127 / 128))
        loss = -(embedded @ self.include.T).mean() * self.recipe.include
        loss = loss + (embedded @ self.exclude.T).mean() * self.recipe.exclude
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def _crops(self, pixels: Tensor) -> Tensor:
        side = self.recipe.side
        canvas = functional.pad(pixels, (side // 2,) * 4)
        if torch.rand(()) < 0.5:
            canvas = canvas.flip(3)
        angle = (torch.rand(()) * 60 - 30).deg2rad()
        shift = torch.rand(2) * 0.4 - 0.2
        turn = torch.stack(
            [torch.stack([angle.cos(), -angle.sin(), shift[0]]), torch.stack([angle.sin(), angle.cos(), shift[1]])]
        )
        grid = functional.affine_grid(turn[None], list(canvas.shape), align_corners=False)
        canvas = functional.grid_sample(canvas, grid, align_corners=False)
        cut = []
        for _ in range(self.recipe.crops):
            size = int(torch.normal(1.2, 0.3, ()).clamp(0.43, 1.9) * side)
            top, left = (int(torch.randint(0, 2 * side - size + 1, ())) for _ in range(2))
            crop = canvas[:, :, top : top + size, left : left + size]
            cut.append(functional.interpolate(crop, (96, 96), mode="bilinear", align_corners=True))
        crops = torch.cat(cut)
        strength = torch.rand(len(crops), 1, 1, 1) * self.recipe.noise
        return crops + strength * torch.randn_like(crops)
