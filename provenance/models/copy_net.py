"""The shipped copy detectors: small networks that see the same in a picture and in an edited copy of it."""

from __future__ import annotations

from dataclasses import dataclass

from safetensors.torch import load_file
from torch import Tensor, nn

from provenance.models import store
from provenance.models.efficientnet import CHANNELS, EfficientNetLite0
from provenance.models.hash_net import HashNet

HASH_BITS = 96
# Numbers that come before those behind the bits, and are compared by their cosine.
HASH_DESCRIPTOR = 256


@dataclass(frozen=True)
class CopyHash:
    """One of the shipped nets.

    Attributes:
        model: name in the model store.
        side: pixels a side.
    """

    model: str
    side: int


PLAIN_HASH = CopyHash("copy-hash", 160)
ROBUST_HASH = CopyHash("robust-hash", 96)

# The net was trained on (p - 127) / 128 of bytes p.
_MEAN, _STD = 127 / 255, 128 / 255

# Sharpness of the pooling: 1 is the mean, infinity the largest value.
_POWER = 3
_FLOOR = 1e-4


class CopyNet(nn.Module):
    """Pixels in [-1, 1], ``[B, 3, S, S]`` with S divisible by 32, to embeddings ``[B, width]``, not of length 1.

    EfficientNet-Lite0 under generalised-mean pooling (Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with
    no human annotation", 2018) and one linear layer, as in SSCD (Pizzi et al., "A self-supervised descriptor for image
    copy detection", CVPR 2022).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = EfficientNetLite0()
        self.project = nn.Linear(CHANNELS, width)

    def pooled(self, pixels: Tensor) -> Tensor:
        """Return what the last layer sees, ``[B, CHANNELS]``."""
        features = self.features(pixels).to(self.project.weight.dtype).clamp(min=_FLOOR)
        pooled: Tensor = features.pow(_POWER).mean((2, 3)).pow(1 / _POWER)
        return pooled

    def forward(self, pixels: Tensor) -> Tensor:
        embedding: Tensor = self.project(self.pooled(pixels))
        return embedding


def new_hash_net(config: CopyHash) -> HashNet:
    """Return the net of a shipped hash with weights yet to be loaded."""
    return HashNet(
        CopyNet(HASH_DESCRIPTOR + HASH_BITS),
        side=config.side,
        pixel_mean=(_MEAN,) * 3,
        pixel_std=(_STD,) * 3,
        width=HASH_DESCRIPTOR + HASH_BITS,
        bits=HASH_BITS,
    )


def load_hash_net(config: CopyHash) -> HashNet:
    """Load a shipped hash, float32, in eval mode.

    Raises:
        provenance.models.errors.ModelMissing: the file is not here.
    """
    net = new_hash_net(config)
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(store.path(config.model)).items()})
    return net.eval().requires_grad_(False)
