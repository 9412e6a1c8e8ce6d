"""The shipped copy detectors: small networks that see the same in a picture and in an edited copy of it."""

from __future__ import annotations

from torch import Tensor, nn

from provenance.models.efficientnet import CHANNELS, EfficientNetLite0

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

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.features(pixels).float().clamp(min=_FLOOR)
        embedding: Tensor = self.project(features.pow(_POWER).mean((2, 3)).pow(1 / _POWER))
        return embedding
