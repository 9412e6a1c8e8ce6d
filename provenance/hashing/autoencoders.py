"""Deep hashes of grey pictures by autoencoders: AE, Res-AE, Con-VAE and VTE (J.UCS 2023).

A picture becomes grey, 128 x 128, its proportions not kept; an encoder makes ``bits`` numbers of it, the feature
vector; bit i is whether number i is above its mean over the training pictures. The decoder makes a picture of the
numbers again, by which one sees what such a hash keeps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from provenance.models.autoencoder_nets import Autoencoder

RGB = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.uint8]
Packed = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]

_BATCH = 64


def grey(picture: RGB, side: int) -> Grey:
    """Return a uint8 ``[H, W, 3]`` picture as grey levels ``[side, side]``: Rec. 601 luma, bilinear, antialiased,
    proportions not kept."""
    levels = Image.fromarray(np.ascontiguousarray(picture)).convert("L")
    return np.asarray(levels.resize((side, side), Image.Resampling.BILINEAR))


def packed(bits: npt.NDArray[np.bool_]) -> Packed:
    """Return bool ``[N, bits]`` as uint8 ``[N, bits / 8]``, first bit most significant."""
    return np.packbits(bits, axis=1)


class AutoencoderHash:
    """One trained autoencoder as a hash. Safe to use from several threads; nothing is loaded before the first picture.

    Attributes:
        algorithm: versioned id.
        length: bits of a code and numbers of a feature vector.
    """

    reconstructs = True

    def __init__(self, algorithm: str, length: int, load: Callable[[], Autoencoder]) -> None:
        """``load`` is called once, before the first picture; it may raise ``provenance.models.errors.ModelError``."""
        self.algorithm = algorithm
        self.length = length
        self._load = load
        self._loaded: Autoencoder | None = None
        self._lock = threading.Lock()

    @property
    def net(self) -> Autoencoder:
        """The network, on the CPU, in eval mode. Loads it; raises ``provenance.models.errors.ModelError``."""
        with self._lock:
            if self._loaded is None:
                net = self._load()
                if net.architecture.bits != self.length:
                    raise ValueError(f"{self.algorithm} has {self.length} bits, its network {net.architecture.bits}")
                self._loaded = net
            return self._loaded

    def load(self) -> None:
        """Load the network. Raises ``provenance.models.errors.ModelError``, ModelMissing where weights are not here."""
        _ = self.net

    def encode(self, pictures: Sequence[RGB]) -> tuple[Packed, Features]:
        """Return codes uint8 ``[N, length / 8]`` and feature vectors float32 ``[N, length]`` of sRGB pictures."""
        side = self.net.architecture.side
        return self.encode_grey(np.stack([grey(picture, side) for picture in pictures]))

    def encode_grey(self, levels: Grey) -> tuple[Packed, Features]:
        """Return codes and feature vectors as :meth:`encode` of uint8 ``[N, side, side]`` from :func:`grey`."""
        import torch

        net, found = self.net, []
        with torch.inference_mode():
            for start in range(0, len(levels), _BATCH):
                pictures = torch.from_numpy(np.array(levels[start : start + _BATCH])).unsqueeze(1).float() / 255
                found.append(net.encode(pictures).mean)
            features = torch.cat(found)
        return packed((features > net.threshold).numpy()), features.numpy()

    def reconstruct(self, features: Features) -> Grey:
        """Return what the decoder makes of feature vectors ``[N, length]``: uint8 ``[N, side, side]``."""
        import torch

        with torch.inference_mode():
            pictures = self.net.decode(torch.from_numpy(np.asarray(features, np.float32)))
        return np.asarray((255 * pictures[:, 0]).round().numpy(), np.uint8)
