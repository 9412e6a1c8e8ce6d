"""What a signed picture goes through while injector and detector are trained: drawn anew for every picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

RGB = npt.NDArray[np.uint8]
Random = np.random.Generator


def draw_geometry(batch: int, source: int, target: int, random: Random) -> Tensor:
    """Draw one similarity a picture, as ``affine_grid`` wants it: float32 ``[batch, 2, 3]``.

    It maps a target of ``target`` pixels a side into a source of ``source``. Half are mirrored, and every third is no
    more than that; the others are turned by up to 30 degrees (one in five by any angle), magnified by .75 to 1.9, some
    with an aspect that is off by up to 6 %, and cut anywhere inside the source where they fit.
    """
    ratio = target / source
    maps = np.zeros((batch, 2, 3), np.float32)
    for index in range(batch):
        plain = random.random() < 0.33
        most = 30 if random.random() < 0.8 else 180
        angle = 0.0 if plain else np.deg2rad(random.uniform(-most, most))
        scale = 1.0 if plain else float(np.exp(random.uniform(np.log(0.75), np.log(1.9))))
        aspect = 1.0 if plain or random.random() < 0.6 else float(np.exp(random.uniform(-0.06, 0.06)))
        mirror = -1.0 if random.random() < 0.5 else 1.0
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = ratio / scale * turn @ np.diag([mirror * aspect, 1 / aspect])
        room = np.clip(1 - np.abs(linear).sum(1), 0, None)
        maps[index, :, :2] = linear
        maps[index, :, 2] = random.uniform(-1, 1, 2) * room
    return torch.from_numpy(maps)


def warped(x: Tensor, maps: Tensor, side: int) -> Tensor:
    """Sample ``x`` ``[B,C,S,S]`` where ``maps`` say: ``[B,C,side,side]``; outside is 0. Differentiable."""
    grid = functional.affine_grid(maps, [x.shape[0], x.shape[1], side, side], align_corners=False)
    return functional.grid_sample(x, grid, mode="bicubic", padding_mode="zeros", align_corners=False)


def degraded(pixels: Tensor, random: Random) -> Tensor:
    """Return pictures ``[B,3,H,W]`` in 0..1 after 8-bit rounding and up to three edits that move nothing.

    The gradient passes as if nothing had been done (straight-through)."""
    given = (pixels.detach().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    edited = np.stack([_edit(np.ascontiguousarray(one), random) for one in given])
    after = torch.from_numpy(edited).permute(0, 3, 1, 2).float() / 255
    return pixels + (after - pixels).detach()


def _edit(x: RGB, random: Random) -> RGB:
    if random.random() < 0.12:
        return x
    for step in random.permutation(len(_STEPS)):
        chance, change = _STEPS[step]
        if random.random() < chance:
            x = np.ascontiguousarray(change(x, random))
    if random.random() < 0.6:
        x = _jpeg(x, random)
    return x


def _bytes(x: npt.NDArray[Any]) -> RGB:
    return np.asarray(np.clip(np.rint(x), 0, 255), np.uint8)


def _jpeg(x: RGB, random: Random) -> RGB:
    quality = int(random.integers(30, 96))
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR), np.uint8
    )


def _smaller(x: RGB, random: Random) -> RGB:
    scale = random.uniform(0.4, 0.9)
    way = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(random.integers(3))]
    size = (round(x.shape[1] * scale), round(x.shape[0] * scale))
    return np.asarray(cv2.resize(cv2.resize(x, size, interpolation=way), x.shape[1::-1], interpolation=cv2.INTER_CUBIC))


def _blur(x: RGB, random: Random) -> RGB:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), random.uniform(0.4, 2.3)), np.uint8)


def _median(x: RGB, random: Random) -> RGB:
    return np.asarray(cv2.medianBlur(x, 3), np.uint8)


def _noise(x: RGB, random: Random) -> RGB:
    return _bytes(x + random.standard_normal(x.shape, np.float32) * random.uniform(1, 13))


def _colour(x: RGB, random: Random) -> RGB:
    gain = random.uniform(0.7, 1.3) * random.uniform(0.9, 1.1, 3)
    return _bytes(((x.astype(np.float32) - 128) * random.uniform(0.7, 1.3) + 128 + random.uniform(-20, 20)) * gain)


def _saturation(x: RGB, random: Random) -> RGB:
    grey = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return _bytes(grey + (x - grey) * float(random.choice((0, 0.5, 1.6))))


def _gamma(x: RGB, random: Random) -> RGB:
    table = 255 * (np.arange(256) / 255) ** np.exp(random.uniform(-0.5, 0.5))
    return np.asarray(_bytes(table)[x])


def _erased(x: RGB, random: Random) -> RGB:
    y = np.array(x)
    side = max(1, int(random.uniform(0.1, 0.4) * min(x.shape[:2])))
    top, left = (int(random.integers(0, n - side + 1)) for n in x.shape[:2])
    y[top : top + side, left : left + side] = random.integers(0, 256, 3)
    return y


_STEPS = (
    (0.25, _smaller), (0.25, _blur), (0.08, _median), (0.25, _noise), (0.2, _colour), (0.12, _saturation),
    (0.12, _gamma), (0.1, _erased),
)  # fmt: skip
