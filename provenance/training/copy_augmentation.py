"""Random copies of a picture to train a copy detector with: what people and sites do to pictures, drawn anew."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
Random = np.random.Generator


def random_copy(pixels: RGB, other: RGB, side: int, random: Random) -> RGB:
    """Return one copy, uint8 RGB ``[side, side, 3]``, of a picture; ``other`` is what it may be pasted into."""
    x = _geometry(pixels, other, random)
    for step in random.permutation(len(_STEPS)):
        chance, change = _STEPS[step]
        if random.random() < chance:
            x = change(x, random)
    x = np.asarray(cv2.resize(x, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    if random.random() < 0.5:
        quality = int(random.integers(20, 96))
        encoded = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        x = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(x)


def _geometry(x: RGB, other: RGB, random: Random) -> RGB:
    height, width = x.shape[:2]
    if random.random() < 0.6:
        area, ratio = random.uniform(0.15, 1), np.exp(random.uniform(-0.35, 0.35))
        h, w = (min(1.0, (area * ratio) ** 0.5), min(1.0, (area / ratio) ** 0.5))
        rows, columns = max(16, int(h * height)), max(16, int(w * width))
        top, left = int(random.integers(0, height - rows + 1)), int(random.integers(0, width - columns + 1))
        x = x[top : top + rows, left : left + columns]
    if random.random() < 0.3:
        x = x[:, ::-1]
    draw = random.random()
    if draw < 0.25:
        angle = random.uniform(-30, 30)
        turn = cv2.getRotationMatrix2D((x.shape[1] / 2, x.shape[0] / 2), angle, random.uniform(0.8, 1.3))
        border = cv2.BORDER_REFLECT if random.random() < 0.3 else cv2.BORDER_CONSTANT
        x = np.asarray(
            cv2.warpAffine(np.ascontiguousarray(x), turn, (x.shape[1], x.shape[0]), borderMode=border), np.uint8
        )
    elif draw < 0.32:
        x = np.rot90(x, int(random.integers(1, 4)))
    draw = random.random()
    if draw < 0.2:
        canvas = np.array(other)
        h = int(random.uniform(0.45, 0.95) * canvas.shape[0])
        w = int(random.uniform(0.45, 0.95) * canvas.shape[1])
        top, left = int(random.integers(0, canvas.shape[0] - h + 1)), int(random.integers(0, canvas.shape[1] - w + 1))
        canvas[top : top + h, left : left + w] = cv2.resize(
            np.ascontiguousarray(x), (w, h), interpolation=cv2.INTER_AREA
        )
        x = canvas
    elif draw < 0.4:
        colour = (
            [int(v) for v in random.integers(0, 256, 3)]
            if random.random() < 0.5
            else [int(random.choice((0, 255)))] * 3
        )
        sides = (random.uniform(0, 0.3, 4) * np.array([x.shape[0], x.shape[0], x.shape[1], x.shape[1]])).astype(int)
        top, bottom, left, right = map(int, sides)
        x = np.asarray(
            cv2.copyMakeBorder(np.ascontiguousarray(x), top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour),
            np.uint8,
        )
    return np.ascontiguousarray(x)


def _as_bytes(x: npt.NDArray[Any]) -> RGB:
    return np.asarray(np.clip(x, 0, 255), np.uint8)


def _colour(x: RGB, random: Random) -> RGB:
    gain = random.uniform(0.6, 1.4) * random.uniform(0.85, 1.15, 3)
    y = (x.astype(np.float32) - 128) * random.uniform(0.6, 1.5) + 128 + random.uniform(-40, 40)
    return _as_bytes(y * gain.astype(np.float32))


def _grey_or_saturated(x: RGB, random: Random) -> RGB:
    grey = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return _as_bytes(grey + (x - grey) * random.choice((0, 0.4, 1.8, 2.5)))


def _hue(x: RGB, random: Random) -> RGB:
    hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + int(random.integers(-20, 21))) % 180
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def _gamma(x: RGB, random: Random) -> RGB:
    table = 255 * (np.arange(256) / 255) ** np.exp(random.uniform(-0.8, 0.8))
    return np.asarray(table.astype(np.uint8)[x])


def _blur(x: RGB, random: Random) -> RGB:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), random.uniform(0.5, 2.5)), np.uint8)


def _noise(x: RGB, random: Random) -> RGB:
    return _as_bytes(x + random.standard_normal(x.shape, np.float32) * random.uniform(2, 50))


def _small(x: RGB, random: Random) -> RGB:
    scale = random.uniform(0.25, 0.8)
    size = (max(8, int(x.shape[1] * scale)), max(8, int(x.shape[0] * scale)))
    return np.asarray(cv2.resize(cv2.resize(x, size, interpolation=cv2.INTER_AREA), x.shape[1::-1]), np.uint8)


def _text(x: RGB, random: Random) -> RGB:
    y = np.array(x)
    for _ in range(int(random.integers(1, 4))):
        words = "".join(random.choice(list("abcdefghij KLMNOP 0123 !?"), int(random.integers(4, 16))))
        place = (int(random.uniform(-0.1, 0.6) * y.shape[1]), int(random.uniform(0.1, 1) * y.shape[0]))
        colour = [int(v) for v in random.integers(0, 256, 3)]
        size = random.uniform(0.003, 0.009) * y.shape[1]
        cv2.putText(y, words, place, int(random.integers(0, 8)), size, colour, int(random.integers(1, 4)), cv2.LINE_AA)
    return y


def _boxes(x: RGB, random: Random) -> RGB:
    y = np.array(x)
    for _ in range(int(random.integers(1, 4))):
        h, w = int(random.uniform(0.05, 0.4) * y.shape[0]), int(random.uniform(0.05, 0.4) * y.shape[1])
        top, left = int(random.integers(0, y.shape[0] - h + 1)), int(random.integers(0, y.shape[1] - w + 1))
        y[top : top + h, left : left + w] = random.integers(0, 256, 3)
    return y


def _vignette(x: RGB, random: Random) -> RGB:
    rows = np.linspace(-1, 1, x.shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, x.shape[1], dtype=np.float32)[None]
    dark = np.exp(-(rows**2 + columns**2) * np.float32(random.uniform(0.2, 1.2)))
    return _as_bytes(x * dark[..., None])


_STEPS = (
    (0.5, _colour), (0.12, _grey_or_saturated), (0.12, _hue), (0.2, _gamma), (0.2, _blur), (0.25, _noise),
    (0.2, _small), (0.15, _text), (0.08, _boxes), (0.08, _vignette),
)  # fmt: skip
