"""The crops that the text-image model looks at: random in a way that the run's key decides, and exact.

As in NoiseHashGAN's code: the picture in the middle of a black canvas of twice its side, mirrored half of the time and
turned up to 30 degrees with all its crops, each crop a square of .43 to 1.9 of the picture's side, noise on top.
Canvas, turn and crop are one bilinear sampling here, with weights in 128ths.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from provenance.artwork.exact import to_grid
from provenance.artwork.latent import Draws

_WEIGHT_BITS = 7
# tan(15 degrees): half of the largest turn.
_HALF_TURN = 0.2679491924311227
_SHIFT = 0.2
_GRADIENT_LEVELS = float(2**16)


class Crops:
    """Where the crops of one iteration lie.

    Attributes:
        places: int64 ``[4, K * S * S]``: the four neighbours of each sample in the flat picture; ``side * side`` is
            the black around it.
        weights: float64 whole numbers ``[4, K * S * S]`` that add up to 2^14.
    """

    def __init__(self, run: bytes, iteration: int, *, count: int, side: int, crop_side: int) -> None:
        self.count, self.side, self.crop_side = count, side, crop_side
        shared = Draws(run, "turn", iteration).uniform(4)
        draws = Draws(run, "crops", iteration)
        # The sum of four binomials, scaled to deviation 1: N(1.2, .3) without a logarithm.
        sizes = 1.2 + 0.3 * draws.normal(4 * count).reshape(count, 4).astype(np.float64).sum(1) / 2
        sizes = np.clip(sizes, 0.43, 1.9)
        offsets = draws.uniform(2 * count).reshape(count, 2)
        rows, columns = self._on_canvas(sizes, offsets)
        self.places, self.weights = self._neighbours(*self._turned(rows, columns, shared))

    def _on_canvas(
        self, sizes: npt.NDArray[np.float64], offsets: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Rows and columns ``[K, S, S]`` of the samples, in picture sides from the picture's middle."""
        steps = np.arange(self.crop_side) / (self.crop_side - 1)
        first = offsets * (2 - sizes)[:, None] - 1
        shape = (self.count, self.crop_side, self.crop_side)
        rows = first[:, 0, None] + steps * sizes[:, None]
        columns = first[:, 1, None] + steps * sizes[:, None]
        return np.broadcast_to(rows[:, :, None], shape), np.broadcast_to(columns[:, None, :], shape)

    @staticmethod
    def _turned(
        rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64], shared: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        # The turn by its half angle's tangent: division and multiplication only, no cosine of some library.
        half = (2 * shared[0] - 1) * _HALF_TURN
        cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
        rows = rows - (2 * shared[1] - 1) * _SHIFT
        columns = columns - (2 * shared[2] - 1) * _SHIFT
        turned_rows = cosine * rows + sine * columns
        turned_columns = cosine * columns - sine * rows
        return turned_rows, -turned_columns if shared[3] < 0.5 else turned_columns

    def _neighbours(
        self, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        one = 1 << _WEIGHT_BITS
        row = np.floor(((rows + 0.5) * self.side - 0.5) * one).astype(np.int64).ravel()
        column = np.floor(((columns + 0.5) * self.side - 0.5) * one).astype(np.int64).ravel()
        top, left = row >> _WEIGHT_BITS, column >> _WEIGHT_BITS
        down, right = row & (one - 1), column & (one - 1)
        places, weights = [], []
        for below, row_weight in ((0, one - down), (1, down)):
            for beside, column_weight in ((0, one - right), (1, right)):
                y, x = top + below, left + beside
                inside = (y >= 0) & (y < self.side) & (x >= 0) & (x < self.side)
                places.append(np.where(inside, y * self.side + x, self.side * self.side))
                weights.append((row_weight * column_weight).astype(np.float64))
        return np.stack(places), np.stack(weights)

    def cut(self, pixels: Tensor) -> Tensor:
        """Sample the crops.

        Args:
            pixels: whole numbers 0 to 255, float32 ``[1, 3, side, side]``.

        Returns:
            float32 ``[K, 3, S, S]``, 0 to 255.
        """
        result: Tensor = _Cut.apply(pixels, self)  # type: ignore[no-untyped-call]
        return result


class _Cut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pixels: Tensor, crops: Crops) -> Tensor:
        ctx.crops = crops
        flat = np.zeros((3, crops.side * crops.side + 1), np.float32)
        flat[:, :-1] = pixels.numpy().reshape(3, -1)
        weights = crops.weights.astype(np.float32)
        # At most 255 * 2^14: exact in float32.
        sampled = flat[:, crops.places[0]] * weights[0]
        for place, weight in zip(crops.places[1:], weights[1:], strict=True):
            sampled += flat[:, place] * weight
        sampled *= np.float32(2.0 ** (-2 * _WEIGHT_BITS))
        cut = torch.from_numpy(sampled).view(3, crops.count, crops.crop_side, crops.crop_side)
        return cut.permute(1, 0, 2, 3).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        crops = ctx.crops
        whole, step = to_grid(gradients[0].contiguous()[None].double(), _GRADIENT_LEVELS)
        by_channel = whole[0].permute(1, 0, 2, 3).reshape(3, -1).numpy()
        flat, places = [], crops.places.ravel()
        for channel in by_channel:
            # 2^16 * 2^14 a sample: more than 2^22 of them fit into float64.
            added = np.bincount(places, (crops.weights * channel).ravel(), crops.side * crops.side + 1)
            flat.append(torch.from_numpy(added[:-1]))
        found = torch.stack(flat).view(1, 3, crops.side, crops.side) * 2.0 ** (-2 * _WEIGHT_BITS)
        return (found * step.view(1, 1, 1, 1)).float(), None
