"""How good the shipped artwork models are on pictures they were not trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from provenance.images.quality import psnr, ssim
from provenance.models.small_vqgan import CODES, SmallVQGAN
from provenance.models.text_image import ImageTower, TextTower
from provenance.training.artwork_pictures import Pictures
from provenance.training.perceptual import Perceptual
from provenance.training.text_image import embed, recalls

_BATCH = 25


@torch.no_grad()
def reconstruction(net: SmallVQGAN, tower: ImageTower, pictures: Pictures, count: int) -> dict[str, float]:
    """Encode and decode held-out photographs at 224 x 224.

    Returns:
        Means of PSNR (dB), SSIM and the perceptual distance of :class:`Perceptual` (0 is equal), and the share of all
        codes that occur.
    """
    rows = [i for i in np.flatnonzero(pictures.held_out) if pictures.names[i].startswith("flickr8k")][:count]
    distance = Perceptual(tower.features)
    ratios, alike, far = [], [], []
    seen: list[set[int]] = [set(), set()]
    for start in range(0, len(rows), _BATCH):
        before = np.array(pictures.pixels[rows[start : start + _BATCH]])
        x = torch.from_numpy(before).permute(0, 3, 1, 2).float() / 127.5 - 1
        codes = net.encode(x)
        made = net.decode(codes)
        after = ((made + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        ratios += [psnr(a, b) for a, b in zip(before, after, strict=True)]
        alike += [ssim(a, b) for a, b in zip(before, after, strict=True)]
        far += distance(x, made).tolist()
        for book, found in enumerate(seen):
            found.update(codes[:, book].unique().tolist())
    return {
        "pictures": len(rows),
        "psnr_db": round(float(np.mean(ratios)), 2),
        "ssim": round(float(np.mean(alike)), 4),
        "perceptual_distance": round(float(np.mean(far)), 4),
        "codes_used": round(sum(map(len, seen)) / (len(seen) * CODES), 3),
    }


@torch.no_grad()
def retrieval(image: ImageTower, text: TextTower, pictures: Pictures) -> dict[str, float]:
    """Recall at 1, 5 and 10 among the thousand held-out photographs, by the first caption, in both directions."""
    rows = np.array([i for i in np.flatnonzero(pictures.held_out) if pictures.names[i].startswith("flickr8k")])
    images = embed(image, pictures, rows, "whole")
    texts = functional.normalize(text(*text.tokens([pictures.captions[row][0] for row in rows])))
    return recalls(texts @ images.T)
