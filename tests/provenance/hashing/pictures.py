"""Pictures made from integers alone, so that every machine has the same, byte for byte."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]


def _grey(values: npt.NDArray[np.int64]) -> RGB:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def _blocks(seed: int, rows: int, columns: int, side: int) -> RGB:
    colours = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    return colours.repeat(side, axis=0).repeat(side, axis=1)


def synthetic() -> dict[str, RGB]:
    """Return uint8 [H,W,3] pictures by name: rich and simple, small and large, wide and tall."""
    y, x = np.mgrid[0:192, 0:256]
    waves = np.stack([(x * y // 64) % 256, (x * 3 + y * 5) % 256, (x ^ y) % 256], axis=2).astype(np.uint8)
    return {
        "waves": waves,
        "noise": np.random.default_rng(7).integers(0, 256, (240, 320, 3), dtype=np.uint8),
        "blocks": _blocks(8, 9, 13, 16),
        "large": _blocks(9, 30, 40, 33),  # 990 x 1320: reduced first.
        "small": _blocks(10, 9, 11, 2),
        "tall": _blocks(11, 40, 4, 16),
        "long and thin": _blocks(12, 1, 100, 20),
        "grey blocks": _grey(_blocks(13, 7, 7, 24)[:, :, 0].astype(np.int64)),
        "one colour": np.full((200, 300, 3), (12, 200, 90), np.uint8),
        "one pixel": np.full((1, 1, 3), 77, np.uint8),
        "one line": np.full((1, 500, 3), 255, np.uint8),
        "two by two": np.array([[[0] * 3, [255] * 3], [[255] * 3, [0] * 3]], np.uint8),
        "ramp": _grey(x),
        "slanting ramp": _grey((x + y) // 2),
        "faint ramp": _grey(100 + x // 16),
        "faint noise": _grey(np.random.default_rng(14).integers(127, 130, (192, 256))),
    }
