"""The published DinoHash nets, put together from the model store: a DINOv2, a mean, and principal components.

arXiv 2503.11195. The components are the rows of scikit-learn's PCA as its authors stored them: orthonormal, most
variance first, without the division by the standard deviation that ``whiten=True`` makes elsewhere. The backbones are
the plain ones of Meta; of the adversarially trained ones only exports to ONNX are published under names that are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from provenance.models import store
from provenance.models.dinov2 import MEAN, SIDE, STD, VIT_B, VIT_S, DinoV2, load_dinov2
from provenance.models.errors import ModelCorrupt, ModelMissing
from provenance.models.hash_net import HashNet

# Of a product of two rows from 0 or 1, for float32.
_ORTHONORMAL = 1e-3


@dataclass(frozen=True)
class PublishedHash:
    """What a published hash is made of.

    Attributes:
        algorithm: versioned id of the hash.
        backbone: the DINOv2.
        mean: the mean's name in the store.
        components: the components' name in the store; of more rows the first ``bits`` are used.
        bits: of a hash.
    """

    algorithm: str
    backbone: DinoV2
    mean: str
    components: str
    bits: int

    @property
    def models(self) -> tuple[str, str, str]:
        """The three names in the store."""
        return self.backbone.name, self.mean, self.components


PUBLISHED: dict[str, PublishedHash] = {
    made.algorithm: made
    for made in (
        PublishedHash("dinohash-v1", VIT_B, "dinohash-vit-b-96-mean", "dinohash-vit-b-96-pca", 96),
        PublishedHash("dinohash-v1-512", VIT_B, "dinohash-vit-b-512-mean", "dinohash-vit-b-512-pca", 512),
        PublishedHash("dinohash-vits-v1", VIT_S, "dinohash-vit-s-mean", "dinohash-vit-s-pca", 96),
    )
}


def load_published(algorithm: str, backbone: Path | None = None) -> HashNet:
    """Load a published hash from the model store.

    Args:
        algorithm: a key of :data:`PUBLISHED`.
        backbone: another file of the backbone's tensors, such as an adversarially trained one.

    Returns:
        On the CPU, float32, in eval mode, without gradients of its weights.

    Raises:
        ModelMissing: files are not here; the message names the one command that gets them all.
        ModelCorrupt: a file is not what it should be.
    """
    published = PUBLISHED[algorithm]
    wanted = published.models[1:] if backbone else published.models
    missing = [name for name in wanted if store.find(name) is None]
    if missing:
        command = f"provenance models pull {' '.join(missing)}"
        words = f"{algorithm} needs {', '.join(missing)}, not on this machine. Get it all by: {command}"
        raise ModelMissing(words, name=missing[0], command=command)
    # All digests before the first file is read, which takes seconds.
    weights = backbone or store.path(published.backbone.name)
    mean, components = (store.path(name) for name in (published.mean, published.components))
    width = published.backbone.width
    net = HashNet(
        load_dinov2(published.backbone, weights),
        side=SIDE,
        pixel_mean=MEAN,
        pixel_std=STD,
        width=width,
        bits=published.bits,
    )
    net.centre = _mean(mean, published.mean, width)
    net.components = _components(components, published.components, published.bits, width)
    return net.eval().requires_grad_(False)


def _mean(path: Path, name: str, width: int) -> Tensor:
    values = _read(path, name)
    if values.shape not in ((width,), (1, width)):
        raise ModelCorrupt(name, path, f"its shape is {_shape(values)}, and 1 x {width} is right.")
    return torch.from_numpy(values.reshape(width))


def _components(path: Path, name: str, bits: int, width: int) -> Tensor:
    values = _read(path, name)
    if values.ndim != 2 or values.shape[1] != width or not bits <= values.shape[0] <= width:
        raise ModelCorrupt(
            name, path, f"its shape is {_shape(values)}, and {bits} to {width} rows of {width} are right."
        )
    rows = np.ascontiguousarray(values[:bits])
    if np.abs(rows @ rows.T - np.eye(bits)).max() > _ORTHONORMAL:
        raise ModelCorrupt(name, path, "its rows are not orthonormal.")
    return torch.from_numpy(rows)


def _read(path: Path, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as problem:
        raise ModelCorrupt(name, path, f"NumPy cannot read it ({problem}).") from problem
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise ModelCorrupt(name, path, "it does not hold one array of finite numbers.")
    return values.astype(np.float32)


def _shape(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
    return " x ".join(map(str, values.shape)) or "a number"
