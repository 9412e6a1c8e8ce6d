"""Different pictures in one frame: the page of a network, or a collage. No copies, though much of them is the same."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from provenance.images.align import resized

RGB = npt.NDArray[np.uint8]

_WIDTH = 720
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def in_one_frame(pictures: list[RGB], around: RGB, seed: int) -> list[RGB]:
    """Draw one frame around each of several pictures.

    Args:
        pictures: uint8 sRGB ``[H, W, 3]`` each; all are fitted into one box, which is 35 to 80 % of the frame.
        around: uint8 sRGB ``[H, W, 3]``, the other picture of a collage.
        seed: which frame; every second is a collage.

    Returns:
        uint8 ``[h, w, 3]`` for each, all of one size, about 720 wide.
    """
    rng = np.random.default_rng(seed)
    part = float(rng.uniform(0.35, 0.8))
    box = (_WIDTH, int(_WIDTH * rng.uniform(0.6, 0.9)))
    other = (_WIDTH, max(60, round(box[1] * (1 - part) / part)))
    frame = resized(around, other) if seed % 2 else _page(other, rng)
    top = int(rng.integers(0, other[1])) if seed % 2 == 0 else int(rng.choice([0, other[1]]))
    return [np.concatenate([frame[:top], resized(picture, box), frame[top:]]) for picture in pictures]


def _page(size: tuple[int, int], rng: np.random.Generator) -> RGB:
    """Return a page with a bar, a round portrait, lines of text and buttons, uint8 ``[h, w, 3]``."""
    width, height = size
    dark = bool(rng.integers(2))
    ground, ink = ((24, 26, 30), (220, 222, 226)) if dark else ((248, 248, 250), (30, 32, 36))
    accent = tuple(int(level) for level in rng.integers(0, 256, 3))
    page = np.full((height, width, 3), ground, np.uint8)
    cv2.rectangle(page, (0, 0), (width, 44), accent, -1)
    cv2.circle(page, (36, 80), 22, accent, -1)
    for row in range(76, height, 30):
        words = "".join(rng.choice(_LETTERS, 60))
        line = " ".join(words[start : start + int(rng.integers(3, 9))] for start in range(0, 48, 9))
        cv2.putText(page, line, (72, row), cv2.FONT_HERSHEY_SIMPLEX, 0.55, ink, 1, cv2.LINE_AA)
        if rng.random() < 0.3:
            left = int(rng.integers(60, width - 140))
            cv2.rectangle(page, (left, row - 8), (left + 90, row + 14), accent, 2)
    return page
