"""Deep hashes of whole pictures: which there are (J.UCS 2023).

A registry keeps for each picture a code and a feature vector. A query's nearest pictures are those with the fewest
differing bits; among equals the one comes first whose feature vector differs least. So pictures whose codes collide
are told apart, and a query that is registered finds itself. Pictures that are :func:`too_plain` are left out, as those
whose fingerprint is not usable.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from provenance.hashing.autoencoders import AutoencoderHash, Features, Grey, Packed, packed
from provenance.hashing.descriptor import MINIMUM_QUALITY
from provenance.hashing.detail import detail
from provenance.hashing.dinohash import squared

if TYPE_CHECKING:
    from provenance.models.autoencoder_nets import Autoencoder
    from provenance.models.edit_hash import EditHash

RGB = npt.NDArray[np.uint8]

_BATCH = 32
# The network's of the edit hash and of the descriptor, whose least detail holds here too.
_DETAIL_SIDE = 96


def too_plain(picture: RGB) -> bool:
    """Return whether a uint8 ``[H, W, 3]`` picture shows too little that is its own: nearly one colour, a smooth or
    plain pattern, noise. Its code would be that of countless others."""
    return detail(squared(picture, _DETAIL_SIDE)) < MINIMUM_QUALITY


class DeepHash(Protocol):
    """What every deep hash offers."""

    @property
    def algorithm(self) -> str:
        """Versioned id, such as ``con-vae-64-v1``."""

    @property
    def length(self) -> int:
        """Bits of a code."""

    @property
    def reconstructs(self) -> bool:
        """Whether :meth:`reconstruct` makes a picture of a feature vector."""

    def load(self) -> None:
        """Load the weights. Raises ``provenance.models.errors.ModelMissing`` where they are not here."""

    def encode(self, pictures: Sequence[RGB]) -> tuple[Packed, Features]:
        """Return codes uint8 ``[N, length / 8]`` and feature vectors float32 ``[N, F]`` of uint8 ``[H, W, 3]``."""

    def reconstruct(self, features: Features) -> Grey:
        """Return pictures uint8 ``[N, side, side]``. Raises TypeError where the hash makes none."""


class EditHash64:
    """``edit-hash-64-v1``: 64 bits that edits leave as they are (``provenance.training.edit_hash``). Its feature vector
    are the 1,280 numbers, of length 1, that the bits are made of: they tell edited copies from unregistered pictures
    better than the 64 numbers whose signs the bits are. Safe to use from several threads; nothing is loaded before the
    first picture.
    """

    algorithm = "edit-hash-64-v1"
    length = 64
    reconstructs = False

    def __init__(self) -> None:
        self._net: EditHash | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """See :class:`DeepHash`."""
        with self._lock:
            if self._net is None:
                from provenance.models.edit_hash import load_edit_hash

                self._net = load_edit_hash()

    @property
    def side(self) -> int:
        """Pixels a side of what the network sees."""
        self.load()
        assert self._net is not None
        return self._net.side

    def encode(self, pictures: Sequence[RGB]) -> tuple[Packed, Features]:
        """See :class:`DeepHash`."""
        return self.encode_squares(np.stack([squared(picture, self.side) for picture in pictures]))

    def encode_squares(self, squares: RGB) -> tuple[Packed, Features]:
        """As :meth:`encode`, of uint8 ``[N, side, side, 3]`` from ``dinohash.squared``."""
        import torch

        self.load()
        net, found = self._net, []
        assert net is not None
        with torch.inference_mode():
            for start in range(0, len(squares), _BATCH):
                pixels = torch.from_numpy(np.array(squares[start : start + _BATCH])).permute(0, 3, 1, 2)
                found.append(net.seen(pixels.float() / 255))
            seen = torch.cat(found)
            return packed((net.project(seen) > net.threshold).numpy()), seen.numpy()

    def reconstruct(self, features: Features) -> Grey:
        """See :class:`DeepHash`."""
        raise TypeError(f"{self.algorithm} has no decoder")


def _shipped_autoencoder(model: str) -> Autoencoder:
    from provenance.models import store
    from provenance.models.autoencoder_nets import load_autoencoder

    return load_autoencoder(store.path(model))


EDIT_HASH = EditHash64()
_SHIPPED: tuple[DeepHash, ...] = (
    EDIT_HASH,
    *(AutoencoderHash(f"con-vae-{n}-v1", n, partial(_shipped_autoencoder, f"con-vae-{n}")) for n in (64, 128)),
)
DEEP_HASHES: dict[str, DeepHash] = {each.algorithm: each for each in _SHIPPED}
