"""The two networks of the robust signature, from the model store, and the copy of a picture that they work on."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from provenance.models import store
from provenance.watermark.pattern import CANONICAL_SIDE

if TYPE_CHECKING:
    import torch

    from provenance.models.signature_nets import Injector, SignatureDetector

MODEL = "signature"
ALGORITHM = "signature-v1"
SMALLEST_SIDE = 64
_SMALL_SIDE = 512

RGB = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]


@cache
def networks() -> tuple[Injector, SignatureDetector]:
    """Load the shipped injector and detector, float32, in eval mode, once a process.

    Raises:
        provenance.models.errors.ModelMissing: their file is not here.
    """
    from safetensors.torch import load_file

    from provenance.models.signature_nets import Injector, SignatureDetector

    tensors = {name: tensor.float() for name, tensor in load_file(store.path(MODEL)).items()}
    nets = (Injector(), SignatureDetector())
    for prefix, net in zip(("injector.", "detector."), nets, strict=True):
        net.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
        net.eval().requires_grad_(False)
    return nets


def canonical_size(height: int, width: int) -> tuple[int, int]:
    """Return (height, width) of the copy that signatures are computed on: the picture's shape, the canonical area, both
    sides even."""
    factor = CANONICAL_SIDE / math.sqrt(height * width)
    even = (max(2, 2 * round(side * factor / 2)) for side in (height, width))
    return next(even), next(even)


def small_copy(pixels: RGB) -> RGB:
    """Return a picture ``[H,W,3]`` reduced to the area of 512 x 512 pixels, or itself where it is not larger."""
    factor = _SMALL_SIDE / math.sqrt(pixels.shape[0] * pixels.shape[1])
    if factor >= 1:
        return pixels
    width, height = (round(side * factor) for side in pixels.shape[1::-1])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def canonical(pixels: RGB) -> torch.Tensor:
    """Return the copy of a picture ``[H,W,3]`` that signatures are computed on, float32 ``[1,3,h,w]`` in 0..1."""
    import torch

    height, width = canonical_size(*pixels.shape[:2])
    way = cv2.INTER_AREA if pixels.shape[0] > height else cv2.INTER_CUBIC
    copy = cv2.resize(pixels, (width, height), interpolation=way)
    return torch.from_numpy(np.ascontiguousarray(copy)).permute(2, 0, 1)[None].float() / 255


def change_for(pixels: RGB, pattern: Map) -> Map:
    """Return what the injector adds to the luma of a picture ``[H,W,3]`` for a pattern of the canonical size, float32
    ``[h,w]``: a change of that size with a mean square of 1."""
    import torch

    injector, _ = networks()
    with torch.no_grad():
        return np.asarray(injector(canonical(pixels), torch.from_numpy(pattern)[None, None])[0, 0].numpy(), np.float32)


def most_change(pixels: RGB) -> Map:
    """Return the largest change of every place of a picture ``[H,W,3]`` that is not seen, float32 ``[H,W]``, in grey
    levels."""
    from provenance.models.signature_nets import most_hidden

    most = 255 * most_hidden(canonical(pixels))[0, 0].numpy()
    return np.asarray(cv2.resize(most, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def mean_masking(pixels: RGB) -> float:
    """Return how much change a picture ``[H,W,3]`` hides on average, about .11 (flat) to .7 (noise)."""
    from provenance.models.signature_nets import masking

    return float(masking(canonical(pixels)).mean())


def expected_pattern(pixels: RGB) -> npt.NDArray[np.float64]:
    """Return the detector's map of a picture ``[H,W,3]``, float64 of the canonical size."""
    import torch

    _, detector = networks()
    with torch.no_grad():
        return np.asarray(detector(canonical(pixels))[0, 0].numpy(), np.float64)
