"""The copy descriptor: 256 numbers of a picture, compared by their cosine, for copies that a hash cannot find.

The numbers that come before the bits in the network of ``dinohash-house-v1``, trained with them
(``provenance.models.copy_net``); the hash that the site runs is another network's. A registered picture is described
whole and in :data:`CROPS`, so that a query that shows a part of it lies near one of its vectors. A query is described
in the ways of :data:`QUERY_VIEWS`, so that what was put around it or over all of it does not hide it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from provenance.hashing.detail import detail
from provenance.hashing.dinohash import squared
from provenance.images.register import reduced_to, without_border

if TYPE_CHECKING:
    from provenance.models.hash_net import HashNet

RGB = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]

ALGORITHM = "copy-descriptor-v1"
WIDTH = 256
# Distances are 1 - cosine in thousandths, 0 to this.
COSINE_STEPS = 2000
# Parts of the sides from left, top, right and bottom; the whole picture is first.
CROPS: tuple[tuple[float, float, float, float], ...] = (
    (0.0, 0.0, 1.0, 1.0),
    (0.2, 0.2, 0.8, 0.8),
    (0.0, 0.0, 0.6, 0.6),
    (0.4, 0.0, 1.0, 0.6),
    (0.0, 0.4, 0.6, 1.0),
    (0.4, 0.4, 1.0, 1.0),
)
QUERY_VIEWS = ("whole", "middle", "without its border", "smoothed")
"""How a query is described, in the order of :meth:`CopyDescriptor.describe_query`; smoothed is without border too."""
# Standard deviation in pixels of the network's input: grain of a fifth of full scale is gone.
_SMOOTHING = 3.5
# Longest side at which a border is looked for.
_BORDER_SIDE = 640
# As for the hash of the same network: below it a picture shows too little that is its own.
MINIMUM_QUALITY = 0.75


def distances(one: Vectors, many: Vectors) -> npt.NDArray[np.int64]:
    """Return 1 - cosine in thousandths, rounded, int64 ``[len(one), len(many)]``, of unit vectors."""
    return np.asarray(np.rint(1000 * (1 - one @ many.T)).clip(0, COSINE_STEPS), np.int64)


class CopyDescriptor:
    """Describes pictures. Safe to use from several threads; nothing is loaded before the first picture."""

    algorithm = ALGORITHM
    width = WIDTH

    def __init__(self) -> None:
        self._net: HashNet | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the network. Raises ``provenance.models.errors.ModelMissing`` where its weights are not here."""
        with self._lock:
            if self._net is None:
                from provenance.models.copy_net import PLAIN_HASH, load_hash_net

                self._net = load_hash_net(PLAIN_HASH)

    def describe(self, pictures: Sequence[RGB]) -> Vectors:
        """Return unit vectors, float32 ``[N, WIDTH]``, of uint8 ``[H, W, 3]`` sRGB pictures, proportions not kept."""
        import torch

        self.load()
        net = self._net
        assert net is not None
        pixels = torch.from_numpy(np.stack([squared(picture, net.side) for picture in pictures]))
        with torch.inference_mode():
            features = net.features(pixels.permute(0, 3, 1, 2).float() / 255)[:, :WIDTH]
        vectors = features.numpy()
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def describe_crops(self, picture: RGB) -> Vectors | None:
        """Return the vectors of the whole picture and of its crops, float32 ``[len(CROPS), WIDTH]``; None for a
        picture too simple to be described."""
        self.load()
        assert self._net is not None
        if detail(squared(picture, self._net.side)) < MINIMUM_QUALITY:
            return None
        return self.describe([_crop(picture, crop) for crop in CROPS])

    def describe_query(self, picture: RGB) -> Vectors | None:
        """Return the vectors by which copies are looked for, one for each of :data:`QUERY_VIEWS`, float32
        ``[4, WIDTH]``; None for a picture too simple to be described."""
        self.load()
        assert self._net is not None
        if max(picture.shape[:2]) > _BORDER_SIDE:
            picture = reduced_to(picture, _BORDER_SIDE)
        side = self._net.side
        views = (picture, _crop(picture, CROPS[1]), np.ascontiguousarray(without_border(picture)[0]))
        squares = [squared(view, side) for view in views]
        plain = [detail(square) < MINIMUM_QUALITY for square in squares]
        if plain[0] and plain[2]:
            return None
        # What is too simple to be described is not looked for; something else of the picture takes its place.
        shown = squares[plain.index(False)]
        squares = [shown if simple else square for square, simple in zip(squares, plain, strict=True)]
        return self.describe([*squares, np.asarray(cv2.GaussianBlur(squares[2], (0, 0), _SMOOTHING), np.uint8)])


def _crop(picture: RGB, crop: tuple[float, float, float, float]) -> RGB:
    height, width, _ = picture.shape
    left, top, right, bottom = crop
    x, y = int(left * width), int(top * height)
    return picture[y : max(y + 1, round(bottom * height)), x : max(x + 1, round(right * width))]


DESCRIPTOR = CopyDescriptor()
